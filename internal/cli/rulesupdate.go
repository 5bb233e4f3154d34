package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/artifact"
)

type rulesUpdateOptions struct {
	rulesFileOptions
	dir    string
	key    string
	index  string
	plain  bool
	follow time.Duration
}

func newRulesUpdateCommand() *cobra.Command {
	var opts rulesUpdateOptions
	cmd := &cobra.Command{
		Use:   "update REFERENCE ...",
		Short: "Bring rules files from an OCI registry, and follow them",
		Long: `Bring rules files from OCI registries, in the form of falcoctl, into a folder, and keep them at what their tags stand for.

With --key an artifact must be signed by it (cosign, with a key pair). New rules are compiled with all others that are in
use (--rules, --builtin-rules) before they take the place of the old ones, and are refused if anything is not valid
then; the exit code is 3. A running detection that reads the folder notices by itself. Credentials are those of
docker login.`,
		Example: `  rollcage rules update registry.example/team/rules:1
  rollcage rules update registry.example/team/rules:1 --key cosign.pub --follow 1h
  rollcage rules update falco-rules:5 --index https://index.example/index.yaml --dir /etc/rollcage/rules.d`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("which artifacts? Name them as REGISTRY/REPOSITORY:TAG")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRulesUpdate(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, args)
		},
	}
	opts.addPathFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.output)
	f := cmd.Flags()
	f.StringVar(&opts.dir, "dir", "/etc/rollcage/rules.d", "`FOLDER` that the rules files are kept in")
	f.StringVar(&opts.key, "key", "", "public key in PEM that must have signed, a `FILE`")
	f.StringVar(&opts.index, "index", "", "`FILE` or URL that says where artifacts with short names are")
	f.BoolVar(&opts.plain, "plain-http", false, "talk to registries without TLS; those on this machine always are")
	f.DurationVar(&opts.follow, "follow", 0, "look again after that `TIME`, for ever; 0 for once")
	return cmd
}

func runRulesUpdate(ctx context.Context, w, stderr io.Writer, opts *rulesUpdateOptions, args []string) error {
	u := &updater{rulesUpdateOptions: opts, stdout: w, stderr: stderr, from: artifact.Options{PlainHTTP: opts.plain}}
	if opts.key != "" {
		key, err := artifact.ReadKey(opts.key)
		if err != nil {
			return fmt.Errorf("--key: %w", err)
		}
		u.from.Key = key
	}
	refs, err := opts.references(ctx, args)
	if err != nil {
		return err
	}
	for {
		err := u.all(ctx, refs)
		switch {
		case opts.follow <= 0, ctx.Err() != nil:
			return err
		case err != nil && !errors.Is(err, errNo):
			slog.Error("updating rules", "error", err, "again in", opts.follow)
		}
		u.again = true
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(opts.follow):
		}
	}
}

// references returns what the arguments stand for.
func (o *rulesUpdateOptions) references(ctx context.Context, args []string) ([]string, error) {
	var index artifact.Index
	if o.index != "" {
		var err error
		if index, err = artifact.ReadIndex(ctx, o.index); err != nil {
			return nil, err
		}
	}
	refs := make([]string, len(args))
	for i, a := range args {
		var err error
		if refs[i], err = index.Resolve(a); err != nil {
			return nil, usage.Error{Err: err}
		}
	}
	return refs, nil
}

type updater struct {
	*rulesUpdateOptions
	again  bool // it is not the first round of following
	from   artifact.Options
	stdout io.Writer
	stderr io.Writer
}

// all brings each reference up to date. What is wrong with one does not keep
// the others from it.
func (u *updater) all(ctx context.Context, refs []string) error {
	folder, err := artifact.OpenFolder(u.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	var errs []error
	refused := false
	for _, ref := range refs {
		err := u.one(ctx, folder, ref)
		if errors.Is(err, artifact.ErrRefused) || errors.Is(err, artifact.ErrSignature) {
			fmt.Fprintf(u.stderr, "%v\n", err)
			refused = true
			continue
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if refused {
		return errNo
	}
	return nil
}

// updateDoc says what was done for a reference, in JSON.
type updateDoc struct {
	Ref     string   `json:"ref"`
	Digest  string   `json:"digest"`
	Before  string   `json:"before,omitempty"`
	Version string   `json:"version,omitempty"`
	Changed bool     `json:"changed"`
	Files   []string `json:"files"`
}

func (u *updater) one(ctx context.Context, folder *artifact.Folder, ref string) error {
	doc := updateDoc{Ref: ref}
	if in := folder.Current(ref); in != nil {
		digest, err := artifact.Digest(ctx, ref, u.from)
		if err != nil {
			return err
		}
		if doc.Before = in.Digest; digest == in.Digest {
			doc.Digest, doc.Version, doc.Files = in.Digest, in.Version, in.Files
			return u.report(doc)
		}
	}
	a, err := artifact.Pull(ctx, ref, u.from)
	if err != nil {
		return err
	}
	if err := u.requirements(a); err != nil {
		return err
	}
	// Before anything is touched, and again with what is really there then.
	if err := u.check(folder.Overlay(a)); err != nil {
		return fmt.Errorf("%s (%s): %w", ref, a.Digest, err)
	}
	if err := folder.Install(a, func() error { return u.check(rule.ReadFiles(u.dir)) }); err != nil {
		return err
	}
	doc.Changed, doc.Digest, doc.Version = true, a.Digest, a.Version
	for _, f := range a.Files {
		doc.Files = append(doc.Files, f.Name)
	}
	return u.report(doc)
}

// requirements checks what an artifact says that it needs.
func (u *updater) requirements(a *artifact.Artifact) error {
	for _, r := range a.Requirements {
		if r.Name != "engine_version_semver" {
			continue
		}
		want, err := rule.ParseVersion(r.Version)
		if err != nil || !rule.EngineVersion.Satisfies(want) {
			return fmt.Errorf("%w: it needs version %s of the rule language, this is %s", artifact.ErrRefused, r.Version, rule.EngineVersion)
		}
	}
	for _, d := range a.Dependencies {
		slog.Info("the artifact says that it builds on another", "artifact", a.Ref, "needs", d.Name+":"+d.Version)
	}
	return nil
}

// check compiles the rules that are in use, with the given files for the folder.
func (u *updater) check(folder []rule.File) error {
	var files []rule.File
	placed := false
	for _, f := range u.files() {
		if filepath.Dir(filepath.Clean(f.Name)) != filepath.Clean(u.dir) {
			files = append(files, f)
			continue
		}
		if !placed {
			files, placed = append(files, folder...), true
		}
	}
	if !placed {
		files = append(files, folder...)
	}
	_, results := rule.Load(files, rule.LoadOptions{})
	n := 0
	for _, r := range results {
		for _, p := range r.Errors {
			fmt.Fprint(u.stderr, p.Format())
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%w with what the registry has: %s", artifact.ErrRefused, plural(n, "error"))
	}
	return nil
}

// report says what was done; of following, only what changed.
func (u *updater) report(doc updateDoc) error {
	if u.again && !doc.Changed {
		return nil
	}
	if u.output == outputJSON {
		return json.NewEncoder(u.stdout).Encode(doc)
	}
	version := doc.Version
	if version != "" {
		version = " (version " + version + ")"
	}
	word := "is up to date"
	if doc.Changed {
		word = "installed"
	}
	_, err := fmt.Fprintf(u.stdout, "%s %s: %s%s, %s in %s\n", doc.Ref, word, doc.Digest, version, strings.Join(doc.Files, ", "), u.dir)
	return err
}
