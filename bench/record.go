package main

import (
	"context"
	"os/exec"
	"path/filepath"
)

// chores are what is done while a capture is recorded: what hosts do beside
// serving requests.
var chores = []string{
	`find /usr /etc -xdev -type f -size -64k | head -n 4000 | xargs grep -l main >/dev/null; true`,
	`for i in $(seq 150); do ls -l /etc | sort | wc -l >/dev/null; done`,
	`tar -cf - /usr/share/doc /etc 2>/dev/null | gzip -1 | wc -c >/dev/null`,
	`find / -xdev -newer /etc/passwd 2>/dev/null | wc -l >/dev/null`,
}

// record records a capture of this host while it does chores and answers requests.
func (b *bench) record(ctx context.Context) (path string, err error) {
	path = filepath.Join(b.dir, "recorded.scap")
	c, err := startChild(ctx, fileStarted(path), b.rollcage, "observe", "--docker", "off", "-w", path)
	if err != nil {
		return "", err
	}
	defer func() {
		if _, stopErr := c.stop(); err == nil {
			err = stopErr
		}
	}()
	var work []*exec.Cmd
	for _, chore := range chores {
		work = append(work, command(ctx, "sh", "-c", chore))
	}
	work = append(work, command(ctx, b.workload, "requests", "20000"))
	for _, cmd := range work {
		cmd.Env = append(cmd.Environ(), quiet)
		if _, err := run(cmd); err != nil {
			return "", err
		}
	}
	return path, nil
}
