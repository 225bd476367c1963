package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"megabinary.dev/image"
)

// epoch returns the SOURCE_DATE_EPOCH with which the image was built, from its
// configuration's last entry of history.
func (v *verification) epoch() (string, error) {
	content, err := v.store.ReadAll(v.image.Config, maxImageConfig)
	if err != nil {
		return "", err
	}
	var config struct {
		History []struct {
			Created time.Time `json:"created"`
		} `json:"history"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	if len(config.History) == 0 {
		return "", nil
	}
	return strconv.FormatInt(config.History[len(config.History)-1].Created.Unix(), 10), nil
}

// compare says in what the image that was built again differs.
func (v *verification) compare(w *workshop, built image.Image) error {
	if built.Manifest.Digest == v.image.Manifest.Digest {
		v.ok("built again from its source, every byte is the same")
		return nil
	}
	again, err := openMega(w.store, built)
	if err != nil {
		return fmt.Errorf("reading the image that was built again: %w", err)
	}
	for _, part := range []struct{ what, is, again string }{
		{"source image", v.mega.ExecMap.Image, again.ExecMap.Image},
		{"exec map", v.mega.ExecMapDigest, again.ExecMapDigest},
		{"megabinary", v.mega.Digest, again.Digest},
		{"configuration", v.image.Config.Digest, built.Config.Digest},
		{"manifest", v.image.Manifest.Digest, built.Manifest.Digest},
	} {
		if part.is != part.again {
			return fmt.Errorf("built again, its %s is %s, not %s: another source, megabin, pipeline or hints made it, or it was changed",
				part.what, part.again, part.is)
		}
	}
	panic("BUG: manifests differ in nothing")
}
