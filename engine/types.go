package engine

import (
	"cmp"
	"maps"
	"slices"

	"megabinary.dev/sdk/artifact"
)

// shortTypes are the names that pipelines may use for media types.
func shortTypes() map[string]string {
	return map[string]string{
		"elf":     artifact.MediaELF,
		"program": artifact.MediaProgram,
		"unit":    artifact.MediaUnit,
	}
}

// MediaType returns the media type that a name in a pipeline means: a short one
// such as elf, or the type itself.
func MediaType(name string) string {
	if long, ok := shortTypes()[name]; ok {
		return long
	}
	return name
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
