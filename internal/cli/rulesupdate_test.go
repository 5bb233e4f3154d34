package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/artifact"
)

const (
	pushedRule  = "- rule: Pushed\n  desc: d\n  condition: evt.type = openat and fd.name = /a\n  output: o\n  priority: INFO\n"
	changedRule = "- rule: Pushed\n  desc: d\n  condition: evt.type = openat and fd.name = /b\n  output: o\n  priority: INFO\n"
	brokenRule  = "- rule: Pushed\n  desc: d\n  condition: evt.type = openat and fd.nam = /b\n  output: o\n  priority: INFO\n"
)

type updateTest struct {
	t   *testing.T
	ref string
	dir string
}

func newUpdateTest(t *testing.T) *updateTest {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return &updateTest{t, strings.TrimPrefix(s.URL, "http://") + "/team/rules:1", filepath.Join(t.TempDir(), "rules.d")}
}

func (u *updateTest) push(text string, more ...artifact.Requirement) {
	u.t.Helper()
	a := &artifact.Artifact{Name: "own", Version: "1", Requirements: more, Files: []rule.File{{Name: "pushed.yaml", Data: []byte(text)}}}
	if _, err := artifact.Push(context.Background(), u.ref, a, artifact.Options{}); err != nil {
		u.t.Fatal(err)
	}
}

func (u *updateTest) update(ctx context.Context, opts rulesUpdateOptions) (string, string, error) {
	var out, errs bytes.Buffer
	opts.dir = u.dir
	err := runRulesUpdate(ctx, &out, &errs, &opts, []string{u.ref})
	return out.String(), errs.String(), err
}

func (u *updateTest) file() string {
	data, err := os.ReadFile(filepath.Join(u.dir, "pushed.yaml"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		u.t.Fatal(err)
	}
	return string(data)
}

func TestRulesAreBroughtAndKeptUpToDate(t *testing.T) {
	u := newUpdateTest(t)
	u.push(pushedRule)
	for _, c := range []struct{ push, says, file string }{
		{"", "installed: sha256:", pushedRule}, {"", "is up to date: sha256:", pushedRule},
		{changedRule, "installed: sha256:", changedRule}, {"", "is up to date", changedRule},
	} {
		if c.push != "" {
			u.push(c.push)
		}
		out, errs, err := u.update(context.Background(), rulesUpdateOptions{})
		if err != nil || !strings.Contains(out, c.says) || u.file() != c.file {
			t.Errorf("%s%s%v, want %s", out, errs, err, c.says)
		}
	}
}

func TestRulesThatAreNotValidAreRefused(t *testing.T) {
	u := newUpdateTest(t)
	u.push(pushedRule)
	if _, errs, err := u.update(context.Background(), rulesUpdateOptions{}); err != nil {
		t.Fatal(errs, err)
	}
	own := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(own, []byte("- rule: Pushed\n  condition: and proc.name = x\n  override: {condition: append}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		push  string
		needs string
		paths []string
		want  string
	}{
		{brokenRule, "", nil, "did you mean fd."},
		{pushedRule, "0.99.0", nil, "it needs version 0.99.0 of the rule language"},
		// It is valid alone, but not with what is loaded after it.
		{strings.Replace(changedRule, "Pushed", "Renamed", 1), "", []string{u.dir, own}, "own.yaml"},
	} {
		var needs []artifact.Requirement
		if c.needs != "" {
			needs = append(needs, artifact.Requirement{Name: "engine_version_semver", Version: c.needs})
		}
		u.push(c.push, needs...)
		var opts rulesUpdateOptions
		opts.paths = c.paths
		if _, errs, err := u.update(context.Background(), opts); !errors.Is(err, errNo) || !strings.Contains(errs, c.want) || !strings.Contains(errs, "refused") {
			t.Errorf("%s%v, want %s", errs, err, c.want)
		}
		if u.file() != pushedRule {
			t.Errorf("the file is now\n%s", u.file())
		}
	}
}

func TestATagIsFollowed(t *testing.T) {
	u := newUpdateTest(t)
	u.push(pushedRule)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, _, err := u.update(ctx, rulesUpdateOptions{follow: 10 * time.Millisecond})
		done <- err
	}()
	// A version that is not valid is passed over.
	for i, text := range []string{pushedRule, brokenRule, changedRule} {
		if i > 0 {
			u.push(text)
		}
		for deadline := time.Now().Add(20 * time.Second); text != brokenRule && u.file() != text; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the file is still\n%s", u.file())
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
