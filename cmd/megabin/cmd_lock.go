package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"megabinary.dev/engine/lock"
)

// newLockCmd returns the command that writes pipeline.lock.
func newLockCmd(a *app) *cobra.Command {
	file := "pipeline.yaml"
	cmd := &cobra.Command{
		Use:   "lock [-f pipeline.yaml]",
		Short: "Pin the digest of every plugin of a pipeline",
		Long: `Write the digest of every plugin of a pipeline to the lock beside it
(pipeline.yaml has pipeline.lock). From then on a build refuses plugins that
differ, until lock is run again.`,
		Example: "  megabin lock\n  megabin lock -f ci/pipeline.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w, err := a.openWorkshop()
			if err != nil {
				return err
			}
			defer w.close()
			pipeline, _, err := readPipeline(file)
			if err != nil {
				return err
			}
			digests, err := w.plugins.Digests(pipeline)
			if err != nil {
				return err
			}
			path := lock.PathFor(file)
			if err := lock.Write(path, digests); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s pins %d plugins\n", path, len(digests))
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", file, "pipeline file")
	addStoreFlag(cmd)
	return cmd
}
