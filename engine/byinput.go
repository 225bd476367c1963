package engine

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A stage's schema may mark a property of its configuration with
//
//	"byInput": true
//
// Its value is then an object whose keys are digests of inputs, and an item of
// a fan-out is given the entries of its own inputs only. So what is said of one
// file is in the key of the cache for that file and for no other.

// byInput returns the properties that a schema marks.
func byInput(schema json.RawMessage) ([]string, error) {
	if len(schema) == 0 {
		return nil, nil
	}
	var s struct {
		Properties map[string]struct {
			ByInput bool `json:"byInput"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	var marked []string
	for _, name := range sortedKeys(s.Properties) {
		if s.Properties[name].ByInput {
			marked = append(marked, name)
		}
	}
	return marked, nil
}

// configFor returns the configuration that an item is run with: canonical JSON.
func (s *PlannedStage) configFor(it item) (json.RawMessage, error) {
	if len(s.byInput) == 0 || it.subject == "" {
		return s.Spec.With, nil
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(s.Spec.With, &config); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	changed := false
	for name, value := range config {
		if !slices.Contains(s.byInput, name) {
			continue
		}
		var entries map[string]json.RawMessage
		if err := json.Unmarshal(value, &entries); err != nil {
			return nil, fmt.Errorf("reading %s of the configuration: %w", name, err)
		}
		own := make(map[string]json.RawMessage)
		for _, d := range it.inputs {
			if entry, ok := entries[d.Digest]; ok {
				own[d.Digest] = entry
			}
		}
		changed = true
		if delete(config, name); len(own) > 0 {
			encoded, err := json.Marshal(own)
			if err != nil {
				return nil, fmt.Errorf("encoding %s of the configuration: %w", name, err)
			}
			config[name] = encoded
		}
	}
	if !changed {
		return s.Spec.With, nil
	}
	return json.Marshal(config)
}
