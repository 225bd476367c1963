package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"megabinary.dev/engine"
	compilenative "megabinary.dev/plugins/compile-native"
	"megabinary.dev/sdk/artifact"
)

// addNative adds a stage that compiles units ahead of time to a pipeline that
// has none, between what recompiles and what links and assembles with the shipped
// plugins. The compiler's version is part of its configuration, and so of the
// cache's key.
func addNative(ctx context.Context, p *engine.Pipeline) error {
	const source = "builtin:" + compilenative.Name
	sources := make(map[string]string)
	for _, plugin := range p.Plugins {
		sources[plugin.Name] = plugin.Source
		if plugin.Source == source {
			return nil // the pipeline says itself what is to be done
		}
	}
	var recompiles []engine.Need
	for _, s := range p.Stages {
		if sources[s.Uses] == "builtin:recompile" {
			recompiles = append(recompiles, engine.Need{Name: s.Name})
		}
	}
	if len(recompiles) == 0 {
		return errors.New("--native: no stage of the pipeline uses builtin:recompile: add one that uses " + source)
	}
	tools, err := compilenative.FindTools()
	if err != nil {
		return fmt.Errorf("--native: %w", err)
	}
	version, err := tools.Version(ctx)
	if err != nil {
		return fmt.Errorf("--native: %w", err)
	}
	with, err := json.Marshal(map[string]any{"compiler": version})
	if err != nil {
		return fmt.Errorf("--native: %w", err)
	}
	name := compilenative.Name
	p.Plugins = append(p.Plugins, &engine.PluginSpec{Name: name, Kind: engine.Process, Source: source})
	native := &engine.StageSpec{Name: name, Uses: name, Needs: recompiles, ForEach: artifact.MediaUnit, With: with, Continue: true}
	for i := 0; i < len(p.Stages); i++ {
		s := p.Stages[i]
		if source := sources[s.Uses]; source != "builtin:link-megabinary" && source != "builtin:assemble-oci" {
			continue
		}
		s.Needs = append(s.Needs, engine.Need{Name: name})
		if native != nil {
			p.Stages = slices.Insert(p.Stages, i, native)
			native = nil
			i++
		}
	}
	return nil
}
