package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/confine"
)

// The values of run --confine.
const (
	confineAuto    = "auto"
	confineRequire = "require"
	confineOff     = "off"
)

// confine takes from this process what running the container does not need. It
// cannot be undone, so only the program itself does it, not who calls execute.
func (a *app) confine(o *runFlags, spec *vkernel.Spec, engine vkernel.Engine) error {
	switch o.confine {
	case confineAuto, confineRequire, confineOff:
	default:
		return fmt.Errorf("--confine %q is none of %s, %s, %s", o.confine, confineAuto, confineRequire, confineOff)
	}
	if o.confine == confineOff || !a.own && o.confine == confineAuto {
		return nil
	}
	report, err := confine.Process(a.confineOptions(o, spec, engine))
	if err != nil {
		return fmt.Errorf("confining the host process: %w", err)
	}
	a.log.Info().Strs("gave up", report.Done).Strs("could not", report.Missing).Msg("the host process is confined")
	if len(report.Missing) > 0 && o.confine == confineRequire {
		return fmt.Errorf("confining the host process: --confine require, but there is no %s", strings.Join(report.Missing, ", no "))
	}
	return nil
}

func (a *app) confineOptions(o *runFlags, spec *vkernel.Spec, engine vkernel.Engine) confine.Options {
	code := map[vkernel.Engine]confine.Code{vkernel.EngineNative: confine.CodeFiles, vkernel.EngineCompiler: confine.CodeMade}
	c := confine.Options{Code: code[engine], Connect: len(spec.Network.Egress) > 0 || spec.Recorder != nil && spec.Network.Connected}
	if p := spec.Policy; p != nil {
		c.Connect = c.Connect || len(p.Egress) > 0
	}
	c.WriteDirs = []string{filepath.Join(a.settings.GetString(settingCacheDir), "run")}
	c.ReadDirs = []string{a.settings.GetString(settingStore)}
	if o.auditRotate != "" {
		c.WriteDirs = append(c.WriteDirs, filepath.Dir(o.audit))
	}
	if o.exec.keepSnippets != "" {
		c.WriteDirs = append(c.WriteDirs, o.exec.keepSnippets)
	}
	for _, m := range spec.Mounts {
		if m.ReadOnly {
			c.ReadDirs = append(c.ReadDirs, m.Host)
		} else {
			c.WriteDirs = append(c.WriteDirs, m.Host)
		}
	}
	for _, p := range spec.Network.Ports {
		c.Listen = append(c.Listen, p.HostPort)
	}
	if c.Connect {
		files, dirs := confine.NameFiles()
		c.ReadFiles, c.ReadDirs = append(c.ReadFiles, files...), append(c.ReadDirs, dirs...)
	}
	return c
}
