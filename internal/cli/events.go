package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"rollcage/internal/observe/event"
)

type eventsOptions struct {
	output string
	all    bool
}

func newEventsCommand() *cobra.Command {
	var opts eventsOptions
	cmd := &cobra.Command{
		Use:   "events [NAME ...]",
		Short: "List event types and their parameters",
		Long:  "List the event types, or those with the given names, with their parameters.",
		Example: `  rollcage events openat connect
  rollcage events --all -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEvents(cmd.OutOrStdout(), opts, args)
		},
	}
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().BoolVar(&opts.all, "all", false, "also old event types and enter events, which only older captures hold")
	return cmd
}

// eventDoc is an event type in JSON.
type eventDoc struct {
	ID       int        `json:"id"`
	Name     string     `json:"name"`
	Enum     string     `json:"enum"`
	Enter    bool       `json:"enter,omitempty"`
	Category string     `json:"category"`
	Params   []paramDoc `json:"params"`
}

type paramDoc struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Labels []string `json:"labels,omitempty"`
}

func runEvents(w io.Writer, opts eventsOptions, names []string) error {
	wanted := event.All()
	if len(names) > 0 {
		wanted = nil
		for _, n := range names {
			infos := event.Lookup(n)
			if infos == nil {
				return unknownEvent(n)
			}
			wanted = append(wanted, infos...)
		}
	}
	enc := json.NewEncoder(w)
	for _, i := range wanted {
		if i.Flags&event.Unused != 0 || !opts.all && !shownToday(i) {
			continue
		}
		var err error
		if opts.output == outputJSON {
			err = enc.Encode(documentEvent(i))
		} else {
			_, err = fmt.Fprintln(w, i.Signature())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unknownEvent says why a name is no event type: a system call without own
// event arrives as a generic one.
func unknownEvent(name string) error {
	if s := event.SyscallByName(name); s != nil {
		return fmt.Errorf("%s is a system call without event type of its own: it is seen as event %q, and evt.type is %s", name, event.GENERIC_X.Info().Name, name)
	}
	var all []string
	for _, i := range event.All() {
		all = append(all, i.Name)
	}
	return fmt.Errorf("unknown event type %q%s", name, suggestion(name, all))
}

// shownToday reports whether rules can see the type: all but old versions and
// enter events of system calls.
func shownToday(i *event.Info) bool {
	return i.Current() && !(i.Type.IsEnter() && i.Origin == event.OriginSyscall)
}

func documentEvent(i *event.Info) eventDoc {
	d := eventDoc{ID: int(i.Type), Name: i.Name, Enum: i.Enum, Enter: i.Type.IsEnter(), Category: i.Category.String(), Params: []paramDoc{}}
	for _, p := range i.Params {
		pd := paramDoc{Name: p.Name, Type: p.Type.String()}
		if p.Table != nil {
			for _, l := range p.Table.Labels {
				pd.Labels = append(pd.Labels, l.Name)
			}
		}
		d.Params = append(d.Params, pd)
	}
	return d
}
