package exec

// Explanation says why something was refused, for a person.
type Explanation struct {
	PID    int    `json:"pid,omitempty"`
	Use    Use    `json:"use,omitempty"`
	Path   string `json:"path,omitempty"` // as the guest named it
	Digest string `json:"digest,omitempty"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy"`
}

// Remedy says what to do about a refusal by a rule.
func Remedy(rule string) string {
	switch rule {
	case RuleUnknownHash:
		return "if it belongs to the program, put it into the source image and build that again; files that are made while the container runs never run as machine code"
	case RuleRefused:
		return "megabin inspect lists what was not recompiled, and the build's diagnostics say why"
	case RuleBinding:
		return "chmod u-s,g-s FILE, or give it that mode and owner in the source image and build that again"
	case RuleTooLarge, RuleTooSlow:
		return "run the file that the image holds"
	case RuleNotCode:
		return "give it a first line such as #!/bin/sh, or start it through its interpreter"
	case RuleChanged:
		return "try again when nothing writes to it"
	case RuleSourceUnknown, RuleSourceNoFile:
		return "put it into the source image and build that again, or run with --exec-level interactive, which logs it"
	case RuleSnippet, RuleStdin:
		return "make it a script of the source image, allow it with --allow-snippets, or run with --exec-level interactive, which logs it"
	}
	return ""
}
