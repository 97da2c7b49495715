package bytecode

import (
	"math/bits"
	"unsafe"
)

// exec interprets the program that enter has chosen, and what it calls, until the outermost frame
// returns. It returns r0, and the instruction that was executed last.
//
// One switch over dense codes is what the compiler makes a jump table of. Each case ends with
// continue; leaving the switch otherwise means that the instruction did not find its memory and
// slow has to look.
//
//nolint:funlen,gocognit // an interpreter's loop is one function: a call for each instruction would double its time
func (m *machine) exec() (ret uint64, at *inst) {
	var r registers
	code := m.code.code
	mem := m.regions
	fp := unsafe.Pointer(&m.stack[stackSize])
	fpAddr := address(regionStack, stackSize)
	ip := &code[0]
	r[1], r[regFP] = address(regionContext, 0), fpAddr
	for {
		in := ip
		ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), instSize))
		switch in.op {
		case opAdd64K:
			r[in.dst&15] += in.imm
			continue
		case opSub64K:
			r[in.dst&15] -= in.imm
			continue
		case opMul64K:
			r[in.dst&15] *= in.imm
			continue
		case opDiv64K:
			r[in.dst&15] /= in.imm
			continue
		case opOr64K:
			r[in.dst&15] |= in.imm
			continue
		case opAnd64K:
			r[in.dst&15] &= in.imm
			continue
		case opLsh64K:
			r[in.dst&15] <<= in.imm & 63
			continue
		case opRsh64K:
			r[in.dst&15] >>= in.imm & 63
			continue
		case opNeg64:
			r[in.dst&15] = -r[in.dst&15]
			continue
		case opMod64K:
			r[in.dst&15] %= in.imm
			continue
		case opXor64K:
			r[in.dst&15] ^= in.imm
			continue
		case opMov64K:
			r[in.dst&15] = in.imm
			continue
		case opArsh64K:
			r[in.dst&15] = uint64(int64(r[in.dst&15]) >> (in.imm & 63))
			continue

		case opAdd64X:
			r[in.dst&15] += r[in.src&15]
			continue
		case opSub64X:
			r[in.dst&15] -= r[in.src&15]
			continue
		case opMul64X:
			r[in.dst&15] *= r[in.src&15]
			continue
		case opDiv64X:
			if s := r[in.src&15]; s != 0 {
				r[in.dst&15] /= s
			} else {
				r[in.dst&15] = 0
			}
			continue
		case opOr64X:
			r[in.dst&15] |= r[in.src&15]
			continue
		case opAnd64X:
			r[in.dst&15] &= r[in.src&15]
			continue
		case opLsh64X:
			r[in.dst&15] <<= r[in.src&15] & 63
			continue
		case opRsh64X:
			r[in.dst&15] >>= r[in.src&15] & 63
			continue
		case opMod64X:
			if s := r[in.src&15]; s != 0 {
				r[in.dst&15] %= s
			}
			continue
		case opXor64X:
			r[in.dst&15] ^= r[in.src&15]
			continue
		case opMov64X:
			r[in.dst&15] = r[in.src&15]
			continue
		case opArsh64X:
			r[in.dst&15] = uint64(int64(r[in.dst&15]) >> (r[in.src&15] & 63))
			continue

		case opAdd32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) + uint32(in.imm))
			continue
		case opSub32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) - uint32(in.imm))
			continue
		case opMul32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) * uint32(in.imm))
			continue
		case opDiv32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) / uint32(in.imm))
			continue
		case opOr32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) | uint32(in.imm))
			continue
		case opAnd32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) & uint32(in.imm))
			continue
		case opLsh32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) << (in.imm & 31))
			continue
		case opRsh32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) >> (in.imm & 31))
			continue
		case opNeg32:
			r[in.dst&15] = uint64(-uint32(r[in.dst&15]))
			continue
		case opMod32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) % uint32(in.imm))
			continue
		case opXor32K:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) ^ uint32(in.imm))
			continue
		case opMov32K:
			r[in.dst&15] = in.imm
			continue
		case opArsh32K:
			r[in.dst&15] = uint64(uint32(int32(r[in.dst&15]) >> (in.imm & 31)))
			continue

		case opAdd32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) + uint32(r[in.src&15]))
			continue
		case opSub32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) - uint32(r[in.src&15]))
			continue
		case opMul32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) * uint32(r[in.src&15]))
			continue
		case opDiv32X:
			if s := uint32(r[in.src&15]); s != 0 {
				r[in.dst&15] = uint64(uint32(r[in.dst&15]) / s)
			} else {
				r[in.dst&15] = 0
			}
			continue
		case opOr32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) | uint32(r[in.src&15]))
			continue
		case opAnd32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) & uint32(r[in.src&15]))
			continue
		case opLsh32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) << (r[in.src&15] & 31))
			continue
		case opRsh32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) >> (r[in.src&15] & 31))
			continue
		case opMod32X:
			d := uint32(r[in.dst&15])
			if s := uint32(r[in.src&15]); s != 0 {
				d %= s
			}
			r[in.dst&15] = uint64(d)
			continue
		case opXor32X:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]) ^ uint32(r[in.src&15]))
			continue
		case opMov32X:
			r[in.dst&15] = uint64(uint32(r[in.src&15]))
			continue
		case opArsh32X:
			r[in.dst&15] = uint64(uint32(int32(r[in.dst&15]) >> (r[in.src&15] & 31)))
			continue

		case opSDiv64K:
			r[in.dst&15] = uint64(sdiv64(int64(r[in.dst&15]), int64(in.imm)))
			continue
		case opSMod64K:
			r[in.dst&15] = uint64(smod64(int64(r[in.dst&15]), int64(in.imm)))
			continue
		case opSDiv64X:
			r[in.dst&15] = uint64(sdiv64(int64(r[in.dst&15]), int64(r[in.src&15])))
			continue
		case opSMod64X:
			r[in.dst&15] = uint64(smod64(int64(r[in.dst&15]), int64(r[in.src&15])))
			continue
		case opSDiv32K:
			r[in.dst&15] = uint64(uint32(sdiv64(int64(int32(r[in.dst&15])), int64(int32(in.imm)))))
			continue
		case opSMod32K:
			r[in.dst&15] = uint64(uint32(smod64(int64(int32(r[in.dst&15])), int64(int32(in.imm)))))
			continue
		case opSDiv32X:
			r[in.dst&15] = uint64(uint32(sdiv64(int64(int32(r[in.dst&15])), int64(int32(r[in.src&15])))))
			continue
		case opSMod32X:
			r[in.dst&15] = uint64(uint32(smod64(int64(int32(r[in.dst&15])), int64(int32(r[in.src&15])))))
			continue
		case opMovSX8To64:
			r[in.dst&15] = uint64(int64(int8(r[in.src&15])))
			continue
		case opMovSX16To64:
			r[in.dst&15] = uint64(int64(int16(r[in.src&15])))
			continue
		case opMovSX32To64:
			r[in.dst&15] = uint64(int64(int32(r[in.src&15])))
			continue
		case opMovSX8To32:
			r[in.dst&15] = uint64(uint32(int32(int8(r[in.src&15]))))
			continue
		case opMovSX16To32:
			r[in.dst&15] = uint64(uint32(int32(int16(r[in.src&15]))))
			continue

		case opSwap16:
			r[in.dst&15] = uint64(bits.ReverseBytes16(uint16(r[in.dst&15])))
			continue
		case opSwap32:
			r[in.dst&15] = uint64(bits.ReverseBytes32(uint32(r[in.dst&15])))
			continue
		case opSwap64:
			r[in.dst&15] = bits.ReverseBytes64(r[in.dst&15])
			continue
		case opTrunc16:
			r[in.dst&15] = uint64(uint16(r[in.dst&15]))
			continue
		case opTrunc32:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]))
			continue

		case opJA:
			ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			continue
		case opJeq64K:
			if r[in.dst&15] == in.imm {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJgt64K:
			if r[in.dst&15] > in.imm {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJge64K:
			if r[in.dst&15] >= in.imm {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJset64K:
			if r[in.dst&15]&in.imm != 0 {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJne64K:
			if r[in.dst&15] != in.imm {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsgt64K:
			if int64(r[in.dst&15]) > int64(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsge64K:
			if int64(r[in.dst&15]) >= int64(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJlt64K:
			if r[in.dst&15] < in.imm {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJle64K:
			if r[in.dst&15] <= in.imm {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJslt64K:
			if int64(r[in.dst&15]) < int64(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsle64K:
			if int64(r[in.dst&15]) <= int64(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue

		case opJeq64X:
			if r[in.dst&15] == r[in.src&15] {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJgt64X:
			if r[in.dst&15] > r[in.src&15] {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJge64X:
			if r[in.dst&15] >= r[in.src&15] {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJset64X:
			if r[in.dst&15]&r[in.src&15] != 0 {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJne64X:
			if r[in.dst&15] != r[in.src&15] {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsgt64X:
			if int64(r[in.dst&15]) > int64(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsge64X:
			if int64(r[in.dst&15]) >= int64(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJlt64X:
			if r[in.dst&15] < r[in.src&15] {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJle64X:
			if r[in.dst&15] <= r[in.src&15] {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJslt64X:
			if int64(r[in.dst&15]) < int64(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsle64X:
			if int64(r[in.dst&15]) <= int64(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue

		case opJeq32K:
			if uint32(r[in.dst&15]) == uint32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJgt32K:
			if uint32(r[in.dst&15]) > uint32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJge32K:
			if uint32(r[in.dst&15]) >= uint32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJset32K:
			if uint32(r[in.dst&15])&uint32(in.imm) != 0 {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJne32K:
			if uint32(r[in.dst&15]) != uint32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsgt32K:
			if int32(r[in.dst&15]) > int32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsge32K:
			if int32(r[in.dst&15]) >= int32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJlt32K:
			if uint32(r[in.dst&15]) < uint32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJle32K:
			if uint32(r[in.dst&15]) <= uint32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJslt32K:
			if int32(r[in.dst&15]) < int32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsle32K:
			if int32(r[in.dst&15]) <= int32(in.imm) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue

		case opJeq32X:
			if uint32(r[in.dst&15]) == uint32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJgt32X:
			if uint32(r[in.dst&15]) > uint32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJge32X:
			if uint32(r[in.dst&15]) >= uint32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJset32X:
			if uint32(r[in.dst&15])&uint32(r[in.src&15]) != 0 {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJne32X:
			if uint32(r[in.dst&15]) != uint32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsgt32X:
			if int32(r[in.dst&15]) > int32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsge32X:
			if int32(r[in.dst&15]) >= int32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJlt32X:
			if uint32(r[in.dst&15]) < uint32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJle32X:
			if uint32(r[in.dst&15]) <= uint32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJslt32X:
			if int32(r[in.dst&15]) < int32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue
		case opJsle32X:
			if int32(r[in.dst&15]) <= int32(r[in.src&15]) {
				ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			}
			continue

		case opBack:
			if m.steps -= int64(in.imm); m.steps < 0 {
				m.fail("more than %d instructions", m.maxSteps)
				return 0, in
			}
			ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			continue

		case opLdx8:
			a := r[in.src&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+1 <= uint64(g.size) {
					r[in.dst&15] = uint64(*(*uint8)(unsafe.Add(g.base, uint32(a))))
					continue
				}
			}
		case opLdx16:
			a := r[in.src&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+2 <= uint64(g.size) {
					r[in.dst&15] = uint64(*(*uint16)(unsafe.Add(g.base, uint32(a))))
					continue
				}
			}
		case opLdx32:
			a := r[in.src&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+4 <= uint64(g.size) {
					r[in.dst&15] = uint64(*(*uint32)(unsafe.Add(g.base, uint32(a))))
					continue
				}
			}
		case opLdx64:
			a := r[in.src&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+8 <= uint64(g.size) {
					r[in.dst&15] = *(*uint64)(unsafe.Add(g.base, uint32(a)))
					continue
				}
			}
		case opStx8:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+1 <= uint64(g.writable) {
					*(*uint8)(unsafe.Add(g.base, uint32(a))) = uint8(r[in.src&15])
					continue
				}
			}
		case opStx16:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+2 <= uint64(g.writable) {
					*(*uint16)(unsafe.Add(g.base, uint32(a))) = uint16(r[in.src&15])
					continue
				}
			}
		case opStx32:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+4 <= uint64(g.writable) {
					*(*uint32)(unsafe.Add(g.base, uint32(a))) = uint32(r[in.src&15])
					continue
				}
			}
		case opStx64:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+8 <= uint64(g.writable) {
					*(*uint64)(unsafe.Add(g.base, uint32(a))) = r[in.src&15]
					continue
				}
			}
		case opSt8:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+1 <= uint64(g.writable) {
					*(*uint8)(unsafe.Add(g.base, uint32(a))) = uint8(in.imm)
					continue
				}
			}
		case opSt16:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+2 <= uint64(g.writable) {
					*(*uint16)(unsafe.Add(g.base, uint32(a))) = uint16(in.imm)
					continue
				}
			}
		case opSt32:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+4 <= uint64(g.writable) {
					*(*uint32)(unsafe.Add(g.base, uint32(a))) = uint32(in.imm)
					continue
				}
			}
		case opSt64:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+8 <= uint64(g.writable) {
					*(*uint64)(unsafe.Add(g.base, uint32(a))) = in.imm
					continue
				}
			}

		case opLdxFP8:
			r[in.dst&15] = uint64(*(*uint8)(unsafe.Add(fp, in.off)))
			continue
		case opLdxFP16:
			r[in.dst&15] = uint64(*(*uint16)(unsafe.Add(fp, in.off)))
			continue
		case opLdxFP32:
			r[in.dst&15] = uint64(*(*uint32)(unsafe.Add(fp, in.off)))
			continue
		case opLdxFP64:
			r[in.dst&15] = *(*uint64)(unsafe.Add(fp, in.off))
			continue
		case opStxFP8:
			*(*uint8)(unsafe.Add(fp, in.off)) = uint8(r[in.src&15])
			continue
		case opStxFP16:
			*(*uint16)(unsafe.Add(fp, in.off)) = uint16(r[in.src&15])
			continue
		case opStxFP32:
			*(*uint32)(unsafe.Add(fp, in.off)) = uint32(r[in.src&15])
			continue
		case opStxFP64:
			*(*uint64)(unsafe.Add(fp, in.off)) = r[in.src&15]
			continue
		case opStFP8:
			*(*uint8)(unsafe.Add(fp, in.off)) = uint8(in.imm)
			continue
		case opStFP16:
			*(*uint16)(unsafe.Add(fp, in.off)) = uint16(in.imm)
			continue
		case opStFP32:
			*(*uint32)(unsafe.Add(fp, in.off)) = uint32(in.imm)
			continue
		case opStFP64:
			*(*uint64)(unsafe.Add(fp, in.off)) = in.imm
			continue

		case opXadd64:
			a := r[in.dst&15] + uint64(int64(in.off))
			if id := a >> 32; id < uint64(len(mem)) {
				if g := &mem[id]; a&0xffffffff+8 <= uint64(g.writable) {
					*(*uint64)(unsafe.Add(g.base, uint32(a))) += r[in.src&15]
					continue
				}
			}
		case opLdAbs, opLdInd:
			if m.slow(in, &r, fpAddr) {
				return r[0], in
			}
			continue

		case opCall:
			ret = helpers[in.imm&(numHelpers-1)](m, r[1], r[2], r[3], r[4], r[5])
			if m.fault != nil {
				return 0, in
			}
			if m.p.Trace != nil {
				m.traceCall(in, &r, ret)
			}
			r[0] = ret
			mem = m.regions
			continue
		case opLookup:
			r[0] = m.mapLookup(r[1], r[2])
			if m.fault != nil {
				return 0, in
			}
			mem = m.regions
			continue
		case opTailCall:
			next := m.tailCall(r[1], r[2], r[3])
			if m.fault != nil {
				return 0, in
			}
			if next == nil {
				continue // r0 stays
			}
			m.enter(next)
			code = m.code.code
			ip = &code[0]
			r[1] = address(regionContext, 0)
			continue
		case opCallFunc:
			if m.depth+1 >= maxFrames {
				m.fail("more than %d nested calls", maxFrames)
				return 0, in
			}
			if m.steps -= int64(in.imm); m.steps < 0 {
				m.fail("more than %d instructions", m.maxSteps)
				return 0, in
			}
			f := &m.frames[m.depth]
			f.ret, f.code, f.prog = ip, m.code, m.prog
			f.saved = [4]uint64{r[6], r[7], r[8], r[9]}
			m.depth++
			m.used = max(m.used, (m.depth+1)*stackSize)
			fp = unsafe.Pointer(&m.stack[(m.depth+1)*stackSize])
			fpAddr = address(regionStack, uint32(m.depth+1)*stackSize)
			r[regFP] = fpAddr
			ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), in.off))
			continue
		case opExit:
			if m.depth == 0 {
				return r[0], in
			}
			m.depth--
			f := &m.frames[m.depth]
			ip, m.code, m.prog = f.ret, f.code, f.prog
			r[6], r[7], r[8], r[9] = f.saved[0], f.saved[1], f.saved[2], f.saved[3]
			fp = unsafe.Pointer(&m.stack[(m.depth+1)*stackSize])
			fpAddr = address(regionStack, uint32(m.depth+1)*stackSize)
			r[regFP] = fpAddr
			continue

		case opLine:
			m.atLine(int(in.imm))
			continue
		case opMovAdd64:
			r[in.dst&15] = r[in.src&15] + in.imm
			ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), instSize))
			continue
		case opMask32:
			r[in.dst&15] = uint64(uint32(r[in.dst&15]))
			ip = (*inst)(unsafe.Add(unsafe.Pointer(ip), instSize))
			continue
		default: // slow does it
		}
		if m.slow(in, &r, fpAddr) {
			return r[0], in
		}
		mem = m.regions
	}
}

// sdiv64 is signed division by BPF's rules: by zero gives zero.
func sdiv64(a, b int64) int64 {
	switch b {
	case 0:
		return 0
	case -1:
		return -a // the smallest number stays itself
	}
	return a / b
}

// smod64 is the remainder of sdiv64: by zero gives the dividend.
func smod64(a, b int64) int64 {
	switch b {
	case 0:
		return a
	case -1:
		return 0
	}
	return a % b
}
