package guard

import (
	"fmt"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/disk"
	"rollcage/internal/respond/policy"
)

// DisarmedRule is the name of the alert that modes of policies are not known any more, so that all only monitor.
const DisarmedRule = "Rollcage internal: policies only monitor"

// keepModes applies the modes that were switched. When they cannot be read, every policy monitors, as somebody may have switched
// one that would act, and unknown says why. Not to start would be worse: nothing would be detected.
func keepModes(set *policy.Set, path string) (unknown, err error) {
	unknown = set.KeepModes(path)
	if unknown == nil {
		return nil, nil
	}
	aside, err := disk.SetAside(path)
	if err != nil {
		return nil, fmt.Errorf("%w; it cannot be set aside either: %w", unknown, err)
	}
	return fmt.Errorf("%w; the file is now %s", unknown, aside), set.Disarm()
}

// disarmed tells that modes could not be read.
func (g *Guard) disarmed(why error) {
	if why == nil {
		return
	}
	g.log.Error("modes of policies are not known; all of them only monitor", "error", why)
	g.intake.Send(alert.Internal(time.Now(), DisarmedRule, rule.Critical,
		fmt.Sprintf("Which policies act is not known: %v. All of them only monitor until they are switched: rollcage policy mode POLICY enforce", why),
		map[string]string{"error": why.Error()}))
}
