package capture

// The numbers of the blocks that are written today, and of the section header.
const (
	sectionHeader = 0x0A0D0D0A
	machineInfo   = 0x201
	threadList    = 0x215
	fdList        = 0x218
	interfaceList = 0x219
	userList      = 0x220
	eventV2       = 0x216
	eventFlags    = 0x217
	eventLarge    = 0x221
	eventLFlags   = 0x222
)

// Sizes of the framing, in bytes, and what a block may hold.
const (
	blockHeader  = 8 // u32 number, u32 total
	blockTrailer = 4 // u32 total
	sectionMagic = 0x1A2B3C4D
	majorVersion = 1
	minorVersion = 2
	hostnameSize = 128
	flagHidden   = 1 // of event blocks: changes state, is not shown

	maxEventBody  = 64 << 10  // what follows the header of an event block that is not large
	maxLargeEvent = 256 << 20 // the format has no limit; this one is ours, against gzip bombs
	maxState      = 1 << 30   // all blocks of a snapshot together; ours too
)

// Limits of strings, in bytes.
const (
	maxPath   = 1024
	maxList   = 4096 // arguments, environment, cgroups
	maxFDName = 1023
	maxUser   = 255
	maxIfName = 1023
)

// blockKind is what a block number stands for.
type blockKind struct {
	name    string
	version int
	load    func(s *section, c *cursor, version int) // of metadata, nil for events
	event   eventKind
}

// eventKind says how an event block is laid out.
type eventKind struct {
	v1    bool // the event has no parameter count
	flags bool // u32 flags before the event
	large bool // no limit of size
}

var (
	eventLayouts = [...]eventKind{
		{v1: true}, {v1: true, flags: true}, {}, {flags: true}, {large: true}, {flags: true, large: true},
	}
	// modernKinds holds the blocks from number 0x200 on, legacyKinds all others.
	modernKinds [0x30]*blockKind
	legacyKinds = map[uint32]*blockKind{}
	headerKind  = &blockKind{name: "section header", version: 1, load: loadHeader}
)

func init() {
	add := func(name string, load func(*section, *cursor, int), versions ...[]uint32) {
		for i, numbers := range versions {
			k := &blockKind{name: name, version: i + 1, load: load}
			if load == nil {
				k.event = eventLayouts[i]
			}
			for _, n := range numbers {
				if n-0x200 < uint32(len(modernKinds)) {
					modernKinds[n-0x200] = k
				} else {
					legacyKinds[n] = k
				}
			}
		}
	}
	type n = []uint32
	legacyKinds[sectionHeader] = headerKind
	add("machine info", loadMachine, n{machineInfo, 0x8002ABCD})
	add("thread list", loadThreads, n{0x202, 0x8000ABCD}, n{0x207, 0x8013ABCD}, n{0x209, 0x8014ABCD},
		n{0x210}, n{0x211}, n{0x212}, n{0x213}, n{0x214}, n{threadList})
	add("descriptor list", loadFDs, n{0x203, 0x8001ABCD}, n{fdList})
	add("interface list", loadInterfaces, n{0x205, 0x8011ABCD}, n{interfaceList})
	add("user list", loadUsers, n{0x206, 0x8012ABCD}, n{userList})
	add("event", nil, n{0x204, 0x8010ABCD}, n{0x208}, n{eventV2}, n{eventFlags}, n{eventLarge}, n{eventLFlags})
}

// kindOf returns what a block number stands for, nil if it is not known.
func kindOf(number uint32) *blockKind {
	if i := number - 0x200; i < uint32(len(modernKinds)) {
		return modernKinds[i]
	}
	return legacyKinds[number]
}

// padding is how many zero bytes follow n bytes.
func padding(n int) int { return -n & 3 }
