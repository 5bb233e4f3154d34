package field

import (
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

func TestFieldsOfAContainer(t *testing.T) {
	check(t, something(t, boxPID), []expectation{
		{"container.id", boxID},
		{"container.name", "web"},
		{"container.image", "nginx:1.27"},
		{"container.image.id", "6f7e2741b66b"},
		{"container.image.repository", "nginx"},
		{"container.image.tag", "1.27"},
		{"container.image.digest", "sha256:d977"},
		{"container.type", "docker"},
		{"container.privileged", "true"},
		{"container.host_pid", "false"},
		{"container.host_network", "false"},
		{"container.host_ipc", "false"},
		{"container.ip", "172.17.0.2"},
		{"container.cni.json", `{"if":"eth0"}`},
		{"container.user", "33"},
		{"container.health", "healthy"},
		{"container.compose.project", "shop"},
		{"container.compose.service", "front"},
		{"container.start_ts", "1699999970000000000"},
		{"container.duration", "30001000000"},
		{"container.mounts", "/proc:/host/proc:ro:false:rslave,/var/run/docker.sock:/sock::true:private"},
		{"container.mount[0]", "/proc:/host/proc:ro:false:rslave"},
		{"container.mount[2]", missing},
		{"container.mount[/var/*]", "/var/run/docker.sock:/sock::true:private"},
		{"container.mount[/pro?]", "/proc:/host/proc:ro:false:rslave"},
		{"container.mount[/nothing]", missing},
		{"container.mount.source[/host/*]", "/proc"},
		{"container.mount.source[/proc]", missing},
		{"container.mount.dest[/var/run/docker.sock]", "/sock"},
		{"container.mount.dest[*docker*]", "/sock"},
		{"container.mount.mode[0]", "ro"},
		{"container.mount.mode[1]", missing},
		{"container.mount.rdwr[1]", "true"},
		{"container.mount.rdwr[/proc]", "false"},
		{"container.mount.propagation[0]", "rslave"},
		{"container.label.maintainer", "web-team"},
		{"container.label[app]", "shop"},
		{"container.label.nothing", missing},
		{"container.labels", "app:shop, com.docker.compose.project:shop, com.docker.compose.service:front, empty, maintainer:web-team"},
		{"container.healthcheck", missing},
		{"proc.is_container_healthcheck", missing},
		{"k8s.pod.name", "web-1"},
		{"k8s.ns.name", "shop"},
		{"k8s.pod.uid", "u-1"},
		{"k8s.pod.id", "u-1"},
		{"k8s.pod.sandbox_id", "5ca1ab1e0000"},
		{"k8s.pod.full_sandbox_id", "5ca1ab1e0000ffff"},
		{"k8s.pod.label.app", "web"},
		{"k8s.pod.labels", "app:web"},
		{"k8s.pod.ip", "172.17.0.2"},
		{"k8s.pod.cni.json", `{"if":"eth0"}`},
		{"k8s.deployment.name", missing},
		{"k8s.rc.label[app]", missing},
	}...)
}

func TestFieldsOfTheHostInsteadOfAContainer(t *testing.T) {
	check(t, something(t, workPID), []expectation{
		{"container.id", "host"},
		{"container.name", "host"},
		{"container.type", "host"},
		{"container.full_id", missing},
		{"container.image", ""},
		{"container.image.repository", ""},
		{"container.image.tag", ""},
		{"container.ip", ""},
		{"container.privileged", missing},
		{"container.mounts", ""},
		{"container.mount[0]", missing},
		{"container.labels", missing},
		{"container.health", missing},
		{"container.compose.project", missing},
		{"container.label.app", missing},
		{"container.start_ts", missing},
		{"container.duration", missing},
		{"k8s.pod.name", missing},
		{"k8s.pod.labels", missing},
	}...)
}

func TestFactsThatTheRuntimeDidNotTellYetHaveNoValue(t *testing.T) {
	w := newWorld(t)
	w.happen(boxPID, event.CONTAINER_JSON_2_E, strings.Replace(boxJSON, `"privileged":true`, `"rollcage_partial":true`, 1))
	check(t, w.happen(boxPID, event.SYSCALL_GETUID_X, 0), []expectation{
		{"container.name", "web"},
		{"container.image.repository", "nginx"},
		{"container.privileged", missing},
		{"container.host_pid", missing},
		{"container.host_network", missing},
		{"container.host_ipc", missing},
	}...)
}

func TestPatternsOfMounts(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"/proc*", "/proc/sys", true},
		{"/p?oc", "/proc", true},
		{"/p?oc", "/poc", false},
		{"/[a-c]x", "/bx", true},
		{"/[!a-c]x", "/bx", false},
		{"/[", "/[", true},
		{`/\*`, "/*", true},
		{`/\*`, "/x", false},
		{"/a.b", "/axb", false},
		{"*", "", true},
		{"/a", "/a\n", false},
	} {
		re, err := compileGlob(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if re.MatchString(c.text) != c.want {
			t.Errorf("%s matches %q: %v, want %v", c.pattern, c.text, !c.want, c.want)
		}
	}
	if _, err := parse("container.mount[[z-a]]"); err == nil {
		t.Error("a pattern with a backward range is accepted")
	}
}
