package host

import "hash/maphash"

// hashSeed is the seed of both caches below. The order of nothing depends on it.
var hashSeed = maphash.MakeSeed()

// internMax is the longest string that is remembered, in bytes.
const internMax = 512

// interner gives equal bytes the same string again without allocating, as long
// as no other string took its place. That bounds it without any bookkeeping:
// strings that are pushed out live on where they are used.
type interner struct {
	slots [1 << 14]string
}

func (n *interner) get(b []byte) string {
	if len(b) == 0 || len(b) > internMax {
		return string(b)
	}
	p := &n.slots[maphash.Bytes(hashSeed, b)%uint64(len(n.slots))]
	if *p != string(b) {
		*p = string(b)
	}
	return *p
}

// listCache splits NUL-separated lists (arguments, environments, cgroups) and
// gives equal bytes the same list again. It is bounded like interner.
type listCache struct {
	slots [512]stringList
}

type stringList struct {
	raw   string
	items []string
}

func (c *listCache) get(raw []byte) []string {
	if len(raw) == 0 {
		return nil
	}
	p := &c.slots[maphash.Bytes(hashSeed, raw)%uint64(len(c.slots))]
	if p.raw != string(raw) {
		s := string(raw)
		*p = stringList{s, splitList(s)}
	}
	return p.items
}

// splitList splits at NULs; one at the end ends the last item.
func splitList(s string) []string {
	n := 0
	for i := range len(s) {
		if s[i] == 0 {
			n++
		}
	}
	if s[len(s)-1] != 0 {
		n++
	}
	items := make([]string, 0, n)
	for from, i := 0, 0; from < len(s); i++ {
		if i == len(s) || s[i] == 0 {
			items = append(items, s[from:i])
			from = i + 1
		}
	}
	return items
}

// sameList reports whether the NUL-separated raw splits into items.
func sameList(items []string, raw []byte) bool {
	for _, item := range items {
		n := len(item)
		if len(raw) < n || string(raw[:n]) != item {
			return false
		}
		switch {
		case len(raw) > n && raw[n] == 0:
			raw = raw[n+1:]
		case len(raw) == n && n > 0:
			raw = nil
		default:
			return false
		}
	}
	return len(raw) == 0
}
