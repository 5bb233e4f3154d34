package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"rollcage/internal/observe/procfs"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

func pid() int { return os.Getpid() }

// Errors of what people ask for.
var (
	// ErrUnknown is what an error is when there is no such incident, action or policy.
	ErrUnknown = errors.New("unknown")
	// ErrInvalid is what an error is when the request makes no sense.
	ErrInvalid = errors.New("invalid")
)

// Act does an action about an incident, on its container or on the process of its last
// alert, because somebody asks for it. It returns the action's ID, by which it can be
// undone. That it is done is in the incident and the audit log, with who.
func (g *Guard) Act(ctx context.Context, who *evidence.Who, incident string, act policy.Action, dryRun bool) (id string, err error) {
	if who == nil {
		return "", fmt.Errorf("%w: nobody asks for it", ErrInvalid)
	}
	switch act.Kind {
	case policy.Pause, policy.Unpause, policy.Stop, policy.Isolate, policy.Release, policy.Capture, policy.Notify:
	case policy.Kill:
		switch act.Target {
		case policy.KillProcess, policy.KillTree, policy.KillContainer:
		default:
			return "", fmt.Errorf("%w: kill what? process, tree or container", ErrInvalid)
		}
	default:
		return "", fmt.Errorf("%w: %q is no action: pause, unpause, stop, kill, isolate, release, capture, notify", ErrInvalid, act.Kind)
	}
	a, sc, err := g.situation(incident)
	if err != nil {
		return "", err
	}
	return g.runner.Do(ctx, &action.Request{Action: act, Incident: incident, Who: who, Alert: a, Scene: sc, DryRun: dryRun})
}

// Undo takes back an action that is in force because somebody asks for it.
func (g *Guard) Undo(ctx context.Context, who *evidence.Who, id string) (string, error) {
	undone, err := g.runner.Undo(ctx, id, who)
	if errors.Is(err, action.ErrNotInForce) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return undone, err
}

// InForce returns the actions that can be undone.
func (g *Guard) InForce() []action.Undo { return g.runner.InForce() }

// Note adds a text to an incident.
func (g *Guard) Note(who *evidence.Who, incident, text string) error {
	if text == "" {
		return fmt.Errorf("%w: the note is empty", ErrInvalid)
	}
	if _, err := g.Incident(incident); err != nil {
		return err
	}
	return g.store.Note(incident, &evidence.Note{Who: who, Text: text})
}

// Incident returns the summary of an incident.
func (g *Guard) Incident(id string) (*evidence.Summary, error) {
	s, err := g.store.Incident(id)
	if err != nil {
		return nil, fmt.Errorf("%w: no incident %q: %w", ErrUnknown, id, err)
	}
	return s, nil
}

// SetMode switches a policy, from the next alert on and over restarts. It is in
// the audit log before.
func (g *Guard) SetMode(who *evidence.Who, name string, m policy.Mode) error {
	g.modeMu.Lock()
	defer g.modeMu.Unlock()
	set := g.Policies()
	p := set.Find(name)
	if p == nil {
		return fmt.Errorf("%w: %w", ErrUnknown, set.SetMode(name, m))
	}
	if err := g.store.Audit().Change(who, "policy mode", fmt.Sprintf("%s: %s to %s", name, p.Mode(), m)); err != nil {
		return fmt.Errorf("the mode is not switched, as that cannot be written down: %w", err)
	}
	if err := set.SetMode(name, m); err != nil {
		return err
	}
	g.fast.apply()
	return nil
}

// situation returns the last alert of an incident and its scene, as far as records tell.
func (g *Guard) situation(id string) (*alert.Alert, *scene.Scene, error) {
	if err := g.store.Sync(); err != nil {
		return nil, nil, err
	}
	var last *alert.Alert
	var at scene.Key
	var boot int64
	sc := &scene.Scene{}
	processes := map[scene.Key]scene.Process{}
	byPID := map[int64]scene.Key{} // the newest
	_, err := evidence.ReadIncident(EvidenceDir(g.opts.State), id, func(r *evidence.Record) error {
		switch r.Kind {
		case evidence.KindOpened:
			var o evidence.Opened
			if err := json.Unmarshal(r.Data, &o); err != nil {
				return err
			}
			sc.Host, sc.Container = o.Host, o.Container
		case evidence.KindProcess:
			var p scene.Process
			if err := json.Unmarshal(r.Data, &p); err != nil {
				return err
			}
			processes[p.Key()], byPID[p.PID] = p, p.Key()
		case evidence.KindAlert:
			var rec evidence.AlertRecord
			if err := json.Unmarshal(r.Data, &rec); err != nil {
				return err
			}
			a, err := alert.ParseRecord(rec.Alert)
			if err != nil {
				return err
			}
			last, boot = a, rec.Boot
			if rec.Process != nil {
				at = *rec.Process
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: incident %q: %w", ErrUnknown, id, err)
	}
	if last == nil {
		return nil, sc, nil
	}
	sc.Time = last.Time
	// The earlier one of what was noted, which is wrong after a reboot, and of what the time of day says, which is
	// wrong when the clock was set since: too early an act spares a process, too late a one may hit another.
	sc.Boot = last.Time.UnixNano() - int64(procfs.BootTime())
	if boot > 0 {
		sc.Boot = min(sc.Boot, boot)
	}
	// What has the number of a parent is it only if it started before.
	for p, ok := processes[at]; ok && len(sc.Processes) < len(processes); {
		sc.Processes = append(sc.Processes, p)
		if p.Container == sc.ContainerID() {
			sc.Root = len(sc.Processes) - 1
		}
		key, known := byPID[p.PPID]
		ok = known && key.Start <= p.Start
		p = processes[key]
	}
	return last, sc, nil
}

// AwaitHealthy returns once detection was seen to work, or an error when ctx ends before.
func (g *Guard) AwaitHealthy(ctx context.Context) error {
	for {
		if h := g.agent.Health(); h.OK && !h.Detected.IsZero() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
