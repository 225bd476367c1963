package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"
	"golang.org/x/term"

	"megabinary.dev/vkernel/audit"
)

// The exit codes of megabin itself; `megabin run` also exits with the guest's
// status. They are docker's.
const (
	exitFailure       = 125 // wrong usage, or megabin failed
	exitNotExecutable = 126 // the program cannot be run or was refused
	exitNotFound      = 127 // there is no such program
)

// exitError carries an exit code through cobra. A nil Err prints nothing: the
// guest's status is not a failure of megabin.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// app is what all commands share: streams, the operator's settings and the log.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	own    bool // the process is there for one command only

	// settings holds --store, --jobs, --log-level and --cache-dir: a flag wins
	// over the environment (MEGABIN_STORE, ...), that over the configuration
	// file. Valid once a command runs.
	settings *viper.Viper
	// log writes to stderr. Valid once a command runs.
	log zerolog.Logger
}

// The keys of the operator's settings; the flags have the same names.
const (
	settingLogLevel = "log-level"
	settingStore    = "store"
	settingJobs     = "jobs"
	settingCacheDir = "cache-dir"
)

// execute runs the command line args and returns the exit code.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return executeIn(args, stdin, stdout, stderr, false)
}

// executeIn is execute; own says that the process is there for this command
// only, which may confine it.
func executeIn(args []string, stdin io.Reader, stdout, stderr io.Writer, own bool) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, settings: viper.New(), log: zerolog.Nop(), own: own}
	root := newRootCmd(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.Err != nil {
			fmt.Fprintln(stderr, "megabin:", audit.EscapeLines(exit.Err.Error()))
		}
		return exit.Code
	}
	fmt.Fprintln(stderr, "megabin:", audit.EscapeLines(err.Error()))
	return exitFailure
}

// newRootCmd returns the command tree. One line here adds a command.
func newRootCmd(a *app) *cobra.Command {
	var configFile string
	root := &cobra.Command{
		Use:   "megabin",
		Short: "Rebuild container images into WebAssembly ahead of time, and run them",
		Long: `megabin takes a container image for linux/amd64, recompiles every executable in
it into one WebAssembly module and runs that under a Linux-compatible kernel of
its own: none of the image's machine code ever runs.`,
		Example: `  megabin build oci:app -o oci:app-mega   # rebuild an image
  megabin run oci:app-mega sh -c 'ls /'   # run it
  megabin inspect oci:app-mega            # what is inside
  megabin verify oci:app-mega             # recompute every digest`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.configure(cmd, configFile)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&configFile, "config", "", "configuration file (default ~/.config/megabin/config.yaml)")
	flags.String(settingLogLevel, "warn", "log to stderr from this level: trace, debug, info, warn, error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())
	})
	for _, newCmd := range []func(*app) *cobra.Command{
		newAnalyzeCmd,
		newAuditCmd,
		newPolicyCmd,
		newBisectCmd,
		newBuildCmd,
		newDumpCmd,
		newExplainCmd,
		newInsnsCmd,
		newInspectCmd,
		newKeygenCmd,
		newLockCmd,
		newMapCmd,
		newPlanCmd,
		newPluginCmd,
		newProfileCmd,
		newPSCmd,
		newRunCmd,
		newSignCmd,
		newStatsCmd,
		newSyscallsCmd,
		newVerifyCmd,
	} {
		root.AddCommand(newCmd(a))
	}
	addCompletions(root)
	return root
}

// configure reads the operator's settings and starts the log.
func (a *app) configure(cmd *cobra.Command, configFile string) error {
	v := a.settings
	v.SetEnvPrefix("MEGABIN")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	v.SetDefault(settingLogLevel, "warn")
	v.SetDefault(settingStore, defaultDir("XDG_DATA_HOME", ".local/share", "store"))
	v.SetDefault(settingCacheDir, defaultDir("XDG_CACHE_HOME", ".cache", ""))
	if err := v.BindPFlags(cmd.Flags()); err != nil {
		return fmt.Errorf("binding flags: %w", err)
	}
	explicit := configFile != ""
	if !explicit {
		configFile = defaultDir("XDG_CONFIG_HOME", ".config", "config.yaml")
	}
	v.SetConfigFile(configFile)
	if err := v.ReadInConfig(); err != nil && (explicit || !errors.Is(err, os.ErrNotExist)) {
		return fmt.Errorf("reading the configuration file %s: %w", configFile, err)
	}
	level, err := zerolog.ParseLevel(v.GetString(settingLogLevel))
	if err != nil {
		return fmt.Errorf("setting %s: %q is no level; use trace, debug, info, warn or error", settingLogLevel, v.GetString(settingLogLevel))
	}
	out := audit.NewJSONEscaper(a.stderr)
	if isTerminal(a.stderr) {
		out = zerolog.ConsoleWriter{Out: a.stderr, TimeFormat: "15:04:05"}
	}
	if isTerminal(a.stdout) && cmd.Annotations[ownTerminal] == "" {
		a.stdout = audit.NewEscaper(a.stdout)
	}
	a.log = zerolog.New(out).Level(level).With().Timestamp().Logger()
	return nil
}

// ownTerminal is an annotation of commands whose standard output is a guest's, or
// draws on a terminal: what others write there is escaped, because names in
// images and trails come from strangers.
const ownTerminal = "own-terminal"

// interruptible returns a context that ^C and SIGTERM cancel. Commands that
// forward signals to a guest do not use it.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}

// defaultDir returns $env/megabin/name, or ~/fallback/megabin/name if env is not set.
func defaultDir(env, fallback, name string) string {
	base := os.Getenv(env)
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		base = filepath.Join(home, fallback)
	}
	return filepath.Join(base, "megabin", name)
}

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
