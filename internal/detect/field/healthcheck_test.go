package field

import (
	"strings"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The processes of the container that checks are run in.
const (
	shimPID    = 500 // on the host
	serverPID  = 510 // the container's first process
	checkPID   = 520 // what the health check runs, and what that starts
	curlPID    = 521
	scriptPID  = 530 // the liveness probe, a script
	enteredPID = 540 // another command from outside
	copyPID    = 550 // the check's command, but run by the server
)

// checkedWorld is a host with a container that has a health check and a liveness probe.
func checkedWorld(t testing.TB) *world {
	const id = "c0ffee000000"
	info := func(pid, vpid, parent int64, exe string, args ...string) *event.ThreadInfo {
		p := event.NewThreadInfo()
		p.TID, p.PID, p.PTID, p.VTID, p.VPID = pid, pid, parent, vpid, vpid
		p.Comm, p.Exe, p.Args = exe[strings.LastIndexByte(exe, '/')+1:], exe, args
		if parent != initPID {
			p.Cgroups = []string{"cpu=/docker/" + id + strings.Repeat("0", 52)}
		}
		return p
	}
	const command = "curl -f http://localhost || exit 1"
	w := &world{TB: t, state: host.New(host.Options{}), now: start}
	w.state.Load(&event.Snapshot{Threads: []*event.ThreadInfo{
		info(shimPID, shimPID, initPID, "containerd-shim"),
		info(serverPID, 1, shimPID, "/bin/sh", "-c", command),
		info(checkPID, 20, shimPID, "/bin/sh", "-c", command),
		info(curlPID, 21, checkPID, "curl", "-f", "http://localhost"),
		info(scriptPID, 30, shimPID, "/bin/bash", "-e", "/opt/alive.sh", "now"),
		info(enteredPID, 40, shimPID, "/bin/sh", "-c", "id"),
		info(copyPID, 50, serverPID, "/bin/sh", "-c", command),
	}})
	w.happen(serverPID, event.CONTAINER_JSON_2_E, `{"container":{"type":0,"id":"`+id+`","name":"shop",`+
		`"Healthcheck":{"exe":"/bin/sh","args":["-c","`+command+`"]},"LivenessProbe":{"exe":"alive.sh","args":["now"]}}}`)
	return w
}

func TestChecksOfAContainerAreTold(t *testing.T) {
	for _, c := range []struct {
		what          string
		pid           int64
		health, alive string
	}{
		{"the first process, whatever it runs", serverPID, "false", "false"},
		{"the health check", checkPID, "true", "false"},
		{"what the health check starts", curlPID, "true", "false"},
		{"a probe that is a script", scriptPID, "false", "true"},
		{"another command from outside", enteredPID, "false", "false"},
		{"the same command run by the service itself", copyPID, "false", "false"},
		{"a process on the host", shimPID, missing, missing},
	} {
		t.Run(c.what, func(t *testing.T) {
			check(t, checkedWorld(t).happen(c.pid, event.SYSCALL_CLOSE_X, 0, 3), []expectation{
				{"proc.is_container_healthcheck", c.health},
				{"proc.is_container_liveness_probe", c.alive},
				{"proc.is_container_readiness_probe", missing},
			}...)
		})
	}
}
