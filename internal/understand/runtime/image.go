package runtime

import (
	"strconv"
	"strings"

	"rollcage/internal/observe/host"
)

// setImage fills what an image reference tells, and the digest of the
// registry's manifest if that is known otherwise.
func setImage(c *host.Container, ref, digest string) {
	c.Image = ref
	c.ImageRepo, c.ImageTag, c.ImageDigest = splitImage(ref)
	if c.ImageDigest == "" {
		c.ImageDigest = digest
	}
}

// splitImage takes an image reference apart into repository, tag and digest. A
// name without tag and digest has the tag latest; a bare image id has nothing of it.
func splitImage(ref string) (repo, tag, digest string) {
	if ref == "" || strings.HasPrefix(ref, "sha256:") {
		return "", "", ""
	}
	repo, digest, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		return repo[:i], repo[i+1:], digest
	}
	if digest == "" {
		tag = "latest"
	}
	return repo, tag, digest
}

// cpuCount counts the processors in a list like 0-2,7.
func cpuCount(set string) int32 {
	var n int32
	for part := range strings.SplitSeq(set, ",") {
		from, to, ranged := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		b := a
		if ranged {
			if b, err = strconv.Atoi(to); err != nil || b < a {
				continue
			}
		}
		n += int32(b - a + 1)
	}
	return n
}
