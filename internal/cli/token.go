package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/inspect/access"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
)

// tokensName is the name of the file of tokens in the folder of the state.
const tokensName = "tokens.json"

// tokenOptions are those of all commands about tokens.
type tokenOptions struct {
	state  string
	output string
}

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens for guard's API and pages",
		Long: `Make, list and revoke tokens for guard's API and pages. A viewer sees incidents with secrets masked; a responder also
opens captures, sees secrets, acts and writes notes; an admin also switches policies and gives out tokens (docs/api.md).`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage.Errorf("unknown command %q%s", args[0], suggestion(args[0], []string{"create", "list", "revoke"}))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenCreateCommand(), newTokenListCommand(), newTokenRevokeCommand())
	return cmd
}

func (o *tokenOptions) tokens() *access.Tokens {
	return access.NewTokens(filepath.Join(o.state, tokensName))
}

// change notes in the audit log what is about to be changed. A token that cannot be noted is not made.
func (o *tokenOptions) change(act, detail string) error {
	dir := guard.EvidenceDir(o.state)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	a, err := evidence.OpenAudit(dir)
	if err != nil {
		return err
	}
	return errors.Join(a.Change(evidence.Caller("command line"), act, detail), a.Close())
}

func newTokenCreateCommand() *cobra.Command {
	var opts tokenOptions
	var role string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and print it, once",
		Long: `Make a token and print it. It is printed this once: only a hash of it is kept. It holds at once, also in a guard that
runs already.`,
		Example: `  rollcage token create alice --role responder --expires 2160h
  rollcage token create dashboard --role viewer`,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := access.ParseRole(role)
			if err != nil {
				return usage.Errorf("--role: %v", err)
			}
			var until time.Time
			if expires < 0 {
				return usage.Errorf("--expires %v: it is over already", expires)
			} else if expires > 0 {
				until = time.Now().Add(expires).UTC().Truncate(time.Second)
			}
			return runTokenCreate(cmd.OutOrStdout(), &opts, args[0], r, until)
		},
	}
	addPlaceFlags(cmd.Flags(), &opts.state, nil)
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().StringVar(&role, "role", "", "`ROLE` of who has the token: viewer, responder, admin")
	cmd.Flags().DurationVar(&expires, "expires", 0, "`TIME` after which it holds no more, as 2160h; 0 for never")
	return cmd
}

func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage.Errorf("name the token, so that one knows whose it is")
	}
	return nil
}

func runTokenCreate(w io.Writer, opts *tokenOptions, name string, role access.Role, until time.Time) error {
	if err := opts.change("token create", printable(name)+", "+role.String()); err != nil {
		return err
	}
	secret, made, err := opts.tokens().Create(name, role, until, evidence.Caller("").User)
	if err != nil {
		return err
	}
	if opts.output == outputJSON {
		made.Hash = ""
		return json.NewEncoder(w).Encode(struct {
			access.Token
			Secret string `json:"secret"`
		}{made, secret})
	}
	_, err = fmt.Fprintln(w, secret)
	return err
}

func newTokenListCommand() *cobra.Command {
	var opts tokenOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Example: "  rollcage token list", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTokenList(cmd.OutOrStdout(), &opts) },
	}
	addPlaceFlags(cmd.Flags(), &opts.state, nil)
	addOutputFlag(cmd, &opts.output)
	return cmd
}

func runTokenList(w io.Writer, opts *tokenOptions) error {
	list, err := opts.tokens().List()
	if err != nil {
		return err
	}
	if opts.output == outputJSON {
		for i := range list {
			list[i].Hash = ""
		}
		return json.NewEncoder(w).Encode(list)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, t := range list {
		until := "never expires"
		switch {
		case t.Expired(time.Now()):
			until = "expired"
		case !t.Expires.IsZero():
			until = "until " + t.Expires.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", t.ID, printable(t.Name), t.Role, until, t.Created.Local().Format("made 2006-01-02 15:04"))
	}
	return tw.Flush()
}

func newTokenRevokeCommand() *cobra.Command {
	var opts tokenOptions
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a token, by name or id; its sessions end", Example: "  rollcage token revoke alice", Args: oneName,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := opts.change("token revoke", printable(args[0])); err != nil {
				return err
			}
			_, err := opts.tokens().Revoke(args[0])
			return err
		},
	}
	addPlaceFlags(cmd.Flags(), &opts.state, nil)
	return cmd
}
