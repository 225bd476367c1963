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

func mediaTypeOf(name string) string {
	if long, ok := shortTypes()[name]; ok {
		return long
	}
	return name
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
