package dissect

// Block types and options of pcapng (draft-ietf-opsawg-pcapng). A block is its type,
// its length, a body, options and its length again; lengths are multiples of four.
const (
	ngSection   uint32 = 0x0a0d0d0a
	ngInterface uint32 = 1
	ngOldPacket uint32 = 2
	ngSimple    uint32 = 3
	ngEnhanced  uint32 = 6

	ngByteOrder uint32 = 0x1a2b3c4d
	ngMajor     uint16 = 1

	ngFrame = 12 // type and both lengths

	optEnd         uint16 = 0
	optComment     uint16 = 1
	optHardware    uint16 = 2 // of a section
	optOS          uint16 = 3
	optApplication uint16 = 4

	optIfName       uint16 = 2 // of an interface
	optIfDesc       uint16 = 3
	optIfResolution uint16 = 9
	optIfOffset     uint16 = 14

	optFlags    uint16 = 2 // of an enhanced packet
	optPacketID uint16 = 5

	ngNanos uint8 = 9 // timestamp resolution 10^-9 s

	directionMask = 3 // of the flags
)

// pad4 is n rounded up to a multiple of four.
func pad4(n int) int { return (n + 3) &^ 3 }
