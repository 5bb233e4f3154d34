package cli

import (
	"fmt"
	"os"
	"testing"
)

// TestTheFirstProcessOfAContainerAlreadyHasItsName starts containers whose
// very first program raises an alert.
func TestTheFirstProcessOfAContainerAlreadyHasItsName(t *testing.T) {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	w := startDetect(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"))
	for round := range 5 {
		name := fmt.Sprintf("first-%d-%d", os.Getpid(), round)
		docker(t, "run", "--rm", "--privileged", "--name", name, os.Getenv("ROLLCAGE_TEST_IMAGE"), "true")
		checkAttack(t, fmt.Sprint("round ", round), attack{
			rule: "Privileged container started", want: map[string]string{
				"proc.name": "true", "container.image.repository": "rollcage/test", "container.image.tag": "1.0",
			},
		}, name, w.waitFor(name, 1))
	}
}
