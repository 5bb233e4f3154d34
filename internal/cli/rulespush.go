package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/artifact"
)

func newRulesPushCommand() *cobra.Command {
	var a artifact.Artifact
	var opts artifact.Options
	var alone bool
	cmd := &cobra.Command{
		Use:   "push REFERENCE FILE ...",
		Short: "Write rules files to an OCI registry",
		Long: `Write rules files to an OCI registry as an artifact that 'rollcage rules update' and falcoctl bring and follow.
They must be valid: together, or after the rules that come with Rollcage. Sign the digest that is printed with cosign sign --key.`,
		Example: `  rollcage rules push registry.example/team/rules:1 my_rules.yaml --version 1.4.0
  cosign sign --key cosign.key registry.example/team/rules@sha256:…`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage.Errorf("name the reference and the files")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Ref = args[0]
			check := rulesOptions{paths: args[1:], builtin: !alone}
			if _, err := check.load(cmd.ErrOrStderr()); err != nil {
				return err
			}
			a.Files = rule.ReadFiles(args[1:]...)
			a.Requirements = []artifact.Requirement{{Name: "engine_version_semver", Version: rule.EngineVersion.String()}}
			digest, err := artifact.Push(cmd.Context(), a.Ref, &a, opts)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s written: %s\n", a.Ref, digest)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.Name, "name", "rules", "what the artifact calls itself, a `NAME`")
	f.StringVar(&a.Version, "version", "", "`VERSION` of the artifact, such as 1.4.0")
	f.BoolVar(&alone, "alone", false, "the files must be valid without the rules that come with Rollcage")
	f.BoolVar(&opts.PlainHTTP, "plain-http", false, "talk to registries without TLS; those on this machine always are")
	return cmd
}
