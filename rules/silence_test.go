package rules_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOrdinaryWorkIsSilent does on this host what happens on any, and wants no alert.
func TestOrdinaryWorkIsSilent(t *testing.T) {
	prefix := fmt.Sprintf("ordinary-%d", os.Getpid())
	w := watch(t, prefix)
	for _, part := range []struct {
		name string
		work func(t *testing.T, prefix string)
	}{
		{"nothing happens", func(*testing.T, string) { time.Sleep(time.Second) }},
		{"packages are installed", installPackage},
		{"a program is built and tested", buildProgram},
		{"people become others", becomeOthers},
		{"people log in over the network", logIn},
		{"containers are run", runContainers},
		{"an image is built", buildImage},
	} {
		t.Run(part.name, func(t *testing.T) {
			w.take()
			part.work(t, prefix)
			w.settle(t)
			for _, f := range w.take() {
				t.Errorf("%s: %s", f.rule, f.text)
			}
		})
	}
}

// must runs a command, in a shell.
func must(t *testing.T, script string, env ...string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// need skips the test if a program is not there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s: %v", p, err)
		}
	}
}

func installPackage(t *testing.T, _ string) {
	need(t, "apt-get", "dpkg")
	must(t, "dpkg -l >/dev/null; apt-cache policy >/dev/null")
	install := exec.Command("apt-get", "install", "-y", "--reinstall", "hostname")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("apt-get cannot install here: %v\n%s", err, out)
	}
}

func buildProgram(t *testing.T, _ string) {
	must(t, "go build -o $DIR/act ./testdata/act && go vet ./testdata/act && go test -count=1 -run None .", "DIR="+t.TempDir())
}

func becomeOthers(t *testing.T, _ string) {
	need(t, "su", "script")
	must(t, "su nobody -s /bin/sh -c id && su - -c id && script -qec 'su - -c id' /dev/null </dev/null")
	if _, err := exec.LookPath("sudo"); err == nil {
		must(t, "sudo -n id && sudo -n -i true")
	}
}

// logIn logs in at an SSH server of its own on the loopback address.
func logIn(t *testing.T, _ string) {
	need(t, "/usr/sbin/sshd", "ssh", "ssh-keygen", "script")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("DIR", dir, "PORT", port).Replace(`ListenAddress 127.0.0.1
Port PORT
HostKey DIR/host
AuthorizedKeysFile DIR/key.pub
PermitRootLogin prohibit-password
StrictModes no
PidFile none
UsePAM yes
`)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd keeps out of the way there
		t.Fatal(err)
	}
	must(t, "ssh-keygen -q -t ed25519 -N '' -f $DIR/host && ssh-keygen -q -t ed25519 -N '' -f $DIR/key", "DIR="+dir)
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	var log strings.Builder
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	const options = "-i $DIR/key -p $PORT -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectionAttempts=20 -q root@127.0.0.1"
	must(t, "ssh "+options+" id && echo 'id; exit' | script -qec 'ssh -tt "+options+"' /dev/null", "DIR="+dir, "PORT="+port)
}

func runContainers(t *testing.T, prefix string) {
	needDocker(t)
	docker(t, "run", "--rm", "--name", prefix+"-once", testImage, "ls", "/")
	docker(t, "run", "--rm", "--init", "-u", "app", "-v", t.TempDir()+":/mnt", "--name", prefix+"-user", testImage, "id")
	docker(t, "run", "--rm", "--name", prefix+"-script", testImage, "sh", "-c",
		"echo welcome > /etc/motd; sed -i s/welcome/hello/ /etc/motd; nc -z 127.0.0.1 9 || ls -l /etc")
	name := prefix + "-served"
	runContainer(t, name, "--health-cmd", "wget -q -O- http://localhost/ || exit 1", "--health-interval", "1s", testImage,
		"httpd", "-f", "-h", "/var/www")
	docker(t, "exec", name, "ls", "/")
	docker(t, "exec", "-u", "app", name, "id")
	docker(t, "cp", name+":/etc/passwd", filepath.Join(t.TempDir(), "passwd"))
	docker(t, "logs", name)
	docker(t, "top", name)
	if _, err := exec.LookPath("script"); err == nil {
		must(t, "script -qec 'docker -H "+dockerHost+" run --rm -it --name "+prefix+"-terminal "+testImage+" sh -c \"ls; id\"' /dev/null </dev/null")
	}
	for end := time.Now().Add(patience); strings.TrimSpace(docker(t, "inspect", "-f", "{{.State.Health.Status}}", name)) != "healthy"; {
		if time.Now().After(end) {
			t.Fatal("the container has not become healthy")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func buildImage(t *testing.T, prefix string) {
	needDocker(t)
	dir := t.TempDir()
	text := "FROM " + testImage + "\nRUN mkdir -p /srv/app && echo hello > /etc/motd\nCOPY Dockerfile /srv/app/\nCMD [\"ls\", \"/srv\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	docker(t, "build", "-q", "-t", prefix+":1", dir)
	docker(t, "run", "--rm", "--name", prefix+"-built", prefix+":1")
	docker(t, "rmi", "-f", prefix+":1")
}
