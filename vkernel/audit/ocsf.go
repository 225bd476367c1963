package audit

import (
	"net/netip"
	"strings"
	"time"
)

// OCSFVersion is the version of the Open Cybersecurity Schema Framework that
// OCSF writes.
const OCSFVersion = "1.3.0"

// ocsfClass is a class of OCSF with its category and one of its activities.
type ocsfClass struct {
	category, class, activity int
	name, activityName        string
}

func ocsfClassOf(r *Record) ocsfClass {
	process := func(activity int, name string) ocsfClass {
		return ocsfClass{1, 1007, activity, "Process Activity", name}
	}
	switch r.Event {
	case EventStart, EventExec, EventInterp, EventFork:
		return process(1, "Launch")
	case EventExit:
		return process(2, "Terminate")
	case EventPrivilege:
		return process(5, "Set User ID")
	case EventMap, EventMemory:
		return ocsfClass{1, 1005, 1, "Module Activity", "Load"}
	case EventFile:
		if len(r.Args) > 0 && r.Args[0] == "write" {
			return ocsfClass{1, 1001, 3, "File System Activity", "Update"}
		}
		return ocsfClass{1, 1001, 2, "File System Activity", "Read"}
	case EventConnect:
		return ocsfClass{4, 4001, 1, "Network Activity", "Open"}
	case EventHTTP:
		return ocsfClass{4, 4002, 99, "HTTP Activity", "Other"}
	case EventResolve:
		return ocsfClass{4, 4003, 1, "DNS Activity", "Query"}
	}
	return process(99, "Other")
}

// OCSF returns a record as an event of OCSF, to be written as JSON. What has no
// place there stands under unmapped, the chain among it.
func OCSF(r *Record) map[string]any {
	c := ocsfClassOf(r)
	at, _ := time.Parse(time.RFC3339Nano, r.Time) // a time that is none is the year 1
	out := map[string]any{
		"category_uid": c.category, "class_uid": c.class, "class_name": c.name, "activity_id": c.activity, "activity_name": c.activityName,
		"type_uid": c.class*100 + c.activity, "time": at.UnixMilli(), "severity_id": 1, "status_id": 1,
		"metadata": map[string]any{"version": OCSFVersion, "uid": r.Hash, "sequence": r.Seq, "log_name": "audit",
			"product": map[string]any{"name": "Megabinary", "vendor_name": "Megabinary"}, "profiles": []string{"container", "security_control"}},
		"container": map[string]any{"uid": r.Container},
		"device":    map[string]any{"type_id": 6, "uid": r.Container, "container": map[string]any{"uid": r.Container}},
		"unmapped":  ocsfUnmapped(r),
	}
	if r.Reason != "" {
		out["message"] = Escape(r.Reason)
	}
	switch r.Verdict {
	case "allow":
		out["action_id"], out["disposition_id"] = 1, 1 // Allowed
	case "would-deny":
		out["action_id"], out["severity_id"] = 3, 3 // Observed, Medium
	case "deny":
		out["action_id"], out["disposition_id"], out["severity_id"], out["status_id"] = 2, 2, 3, 2 // Denied, Blocked, Medium, Failure
	}
	if r.Rule != "" {
		out["policy"] = map[string]any{"name": r.Rule, "uid": r.Policy}
	}
	actor := map[string]any{"pid": r.PID, "user": map[string]any{"uid": r.UID}}
	if r.PPID != 0 {
		actor["parent_process"] = map[string]any{"pid": r.PPID}
	}
	if r.Subject != "" {
		actor["file"] = ocsfFile("", r.Subject)
	}
	out["actor"] = map[string]any{"process": actor, "user": map[string]any{"uid": r.UID}}
	ocsfObject(out, r, c.class)
	return out
}

func ocsfFile(path, digest string) map[string]any {
	f := map[string]any{"name": path[strings.LastIndexByte(path, '/')+1:], "path": path, "type_id": 1}
	if digest != "" {
		f["hashes"] = []any{map[string]any{"algorithm_id": 3, "algorithm": "SHA-256", "value": strings.TrimPrefix(digest, "sha256:")}}
	}
	return f
}

// ocsfObject adds what the event is about.
func ocsfObject(out map[string]any, r *Record, class int) {
	switch class {
	case 1007:
		p := map[string]any{"pid": r.PID, "user": map[string]any{"uid": r.UID}}
		if r.Path != "" && r.Event != EventSyscall {
			p["file"] = ocsfFile(r.Path, r.Object)
		}
		if r.Event == EventExec || r.Event == EventStart {
			p["cmd_line"] = strings.Join(r.Args, " ")
		}
		if r.Status != nil {
			out["exit_code"] = *r.Status
		}
		out["process"] = p
	case 1005:
		out["module"] = map[string]any{"file": ocsfFile(r.Path, r.Object), "load_type_id": 1}
	case 1001:
		out["file"] = ocsfFile(r.Path, r.Object)
	case 4001:
		proto, to, _ := strings.Cut(r.Path, "/")
		if a, err := netip.ParseAddrPort(to); err == nil {
			out["dst_endpoint"] = map[string]any{"ip": a.Addr().String(), "port": a.Port()}
		}
		out["connection_info"] = map[string]any{"protocol_name": proto, "direction_id": 2}
	case 4002:
		method, url, _ := strings.Cut(r.Path, " ")
		out["http_request"] = map[string]any{"http_method": method, "url": map[string]any{"url_string": url}}
	case 4003:
		out["query"] = map[string]any{"hostname": r.Path, "type": "A"}
	}
}

func ocsfUnmapped(r *Record) map[string]any {
	u := map[string]any{"event": r.Event, "prev": r.Prev, "hash": r.Hash}
	if r.MapRoot != "" {
		u["map_root"] = r.MapRoot
	}
	if r.Policy != "" {
		u["policy"] = r.Policy
	}
	if len(r.Args) > 0 {
		u["args"] = r.Args
	}
	if r.Event == EventSyscall {
		u["syscall"] = r.Path
	}
	if r.DurationNs != 0 {
		u["duration_ns"] = r.DurationNs
	}
	if r.Suppressed != 0 {
		u["suppressed"] = r.Suppressed
	}
	return u
}
