package guard

import (
	"fmt"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/alert"
)

// OverdueRule is the name of the alert that an action could not be taken back when its
// time was over, and ForgottenRule of the one that what is to be taken back is not known any more.
const (
	OverdueRule   = "Rollcage internal: action not undone"
	ForgottenRule = "Rollcage internal: actions in force forgotten"
)

// overdueEvery is at which tries it is told again, beside the first one: hourly once the pauses are longest.
const overdueEvery = 6

func (g *Guard) overdue(u action.Undo, next time.Duration) {
	if u.Tries != 1 && u.Tries%overdueEvery != 0 {
		return
	}
	name := u.Container.Name
	if name == "" {
		name = u.Container.ID
	}
	text := fmt.Sprintf("The %s of container %s was to end at %s and could not be taken back in %d tries: %s. It is tried again in %v; to do it by hand: rollcage incidents undo %s",
		u.Kind, name, u.Until.UTC().Format(time.RFC3339), u.Tries, u.Error, next, u.ID)
	g.intake.Send(alert.Internal(time.Now(), OverdueRule, rule.Critical, text, map[string]string{
		"action": u.ID, "kind": string(u.Kind), "incident": u.Incident, "container": u.Container.ID, "error": u.Error, "tries": fmt.Sprint(u.Tries),
	}))
}

// forgotten tells that the file of what is in force could not be read.
func (g *Guard) forgotten(why error) {
	if why == nil {
		return
	}
	g.log.Error("what is to be undone is not known; containers that guard paused or isolated stay so", "error", why)
	g.intake.Send(alert.Internal(time.Now(), ForgottenRule, rule.Critical,
		fmt.Sprintf("What is to be undone is not known: %v. Containers that were paused or isolated stay so; 'rollcage incidents list' names what was done, and 'rollcage incidents act INCIDENT unpause' (or release) takes it back", why),
		map[string]string{"error": why.Error()}))
}
