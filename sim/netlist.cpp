// SPDX-License-Identifier: Apache-2.0
// Simulator of an ECP5 netlist, cell by cell: two-valued, zero delay, every cell in topological order.
// sim/netlist.py generates a file with the class Vdut (the ports, as Verilator would declare them) and the tables used
// here, then includes this file and a harness. The cells behave as the models in sim/cells.

namespace {

enum Kind { LUT, MUX, CARRY, RAM_READ, MULTIPLY };

// Combinational operation: LUT z = init[{d, c, b, a}]; MUX z = c ? a : b; CARRY z = sum, z + 1 = carry out, e = carry in,
// bit 16 of init: the carry in does not enter (INJECT1); RAM_READ and MULTIPLY: cell number a.
struct Op {
    int32_t a, b, c, d, e, z, init;
};
// Operations of one kind that do not depend on each other, from .. to - 1.
struct Segment {
    int32_t kind, from, to;
};
// Flip-flops from .. to - 1, which share their controls. clock is an index into CLOCKS; flags: 1 inverted enable,
// 2 inverted LSR, 4 value after LSR, 8 LSR is asynchronous. Their outputs are the nets FLOP_NET + index.
struct Group {
    int32_t clock, ce, lsr, flags, from, to;
};
struct Clock {
    int32_t net, inverted;
};
struct LutRam {
    int32_t clock, we, we_inverted, data[4], write[4], read[4], out[4];
    uint64_t init;
};
struct RamPort {
    int32_t clock, width, mode, registered;  // mode 0 NORMAL, 1 WRITETHROUGH, 2 READBEFOREWRITE
    int32_t ce, oce, we, rst, inverted;      // inverted: bit 0 ce, 1 oce, 2 we, 3 rst
    int32_t select[3], select_value;
    int32_t address[14], data[18], out[18];
};
struct BlockRam {
    RamPort port[2];
    int32_t init;  // first word in RAM_WORDS, -1 = zero
};
// Register of a multiplier: clock -1 = none.
struct Stage {
    int32_t clock, ce, rst;
};
struct Multiplier {
    int32_t a[18], b[18], signed_a, signed_b, p[36];
    Stage stage[4];  // factor a, factor b, product, output
};

extern const int32_t NETS, FLOP_NET, N_SEGMENTS, N_CONE, N_GROUPS, N_FLOPS, N_CLOCKS, N_LUT_RAMS, N_BLOCK_RAMS, N_MULTIPLIERS;
extern const Segment SEGMENTS[];  // in topological order
extern const Op OPS[];
extern const int32_t CONE[];  // operations that an input port reaches without a register: kind, index, kind, index
extern const Group GROUPS[];
extern const int32_t FLOP_D[];
extern const Clock CLOCKS[];
extern const LutRam LUT_RAMS[];
extern const BlockRam BLOCK_RAMS[];
extern const uint32_t RAM_WORDS[];
extern const Multiplier MULTIPLIERS[];

}  // namespace

// State of one simulated netlist. Nets 0 and 1 are the constants.
class Netlist {
public:
    std::vector<uint8_t> net;

    Netlist() {
        net.assign(NETS, 0);
        net[1] = 1;
        for (int i = 0; i < N_GROUPS; ++i)
            for (int f = GROUPS[i].from; f < GROUPS[i].to; ++f) net[FLOP_NET + f] = (GROUPS[i].flags >> 2) & 1;
        next_.assign(N_FLOPS + 1, 0);
        clock_.assign(N_CLOCKS, 0);
        rises_.assign(N_CLOCKS, 0);
        lut_ram_.resize(N_LUT_RAMS);
        for (int i = 0; i < N_LUT_RAMS; ++i)
            for (int w = 0; w < 16; ++w) lut_ram_[i].words[w] = (LUT_RAMS[i].init >> (4 * w)) & 15;
        ram_.resize(N_BLOCK_RAMS);
        for (int i = 0; i < N_BLOCK_RAMS; ++i)
            if (BLOCK_RAMS[i].init >= 0) memcpy(ram_[i].words, RAM_WORDS + BLOCK_RAMS[i].init, sizeof ram_[i].words);
        mult_.resize(N_MULTIPLIERS);
        run_all();
        for (int k = 0; k < N_CLOCKS; ++k) clock_[k] = level(k);
    }

    // To be called when input nets have changed. Data and clock must not change in the same call.
    void settle() {
        for (int i = 0; i < N_CONE; ++i) run(CONE[2 * i], CONE[2 * i + 1], CONE[2 * i + 1] + 1);
        for (int round = 0;; ++round) {
            if (round > 100) throw std::runtime_error("the netlist does not settle");
            bool edge = false, moved = false;
            for (int k = 0; k < N_CLOCKS; ++k) {
                const uint8_t now = level(k);
                rises_[k] = now && !clock_[k];
                edge |= rises_[k];
                clock_[k] = now;
            }
            if (edge) clock_edge();
            for (int i = 0; i < N_GROUPS; ++i) {
                const Group& g = GROUPS[i];
                if (!(g.flags & 8) || !(net[g.lsr] ^ ((g.flags >> 1) & 1))) continue;
                const uint8_t value = (g.flags >> 2) & 1;
                for (int f = g.from; f < g.to; ++f) moved |= net[FLOP_NET + f] != value, net[FLOP_NET + f] = value;
            }
            if (!edge && !moved) return;
            run_all();
        }
    }

private:
    struct LutRamState {
        uint8_t words[16];
        int32_t address = -1;
        uint8_t value = 0;
    };
    struct RamState {
        uint32_t words[1024] = {};
        uint64_t out[2] = {}, pipe[2] = {};
        // decided at a clock edge, done after all cells have looked
        uint64_t next_out[2], next_pipe[2];
        bool update[2], write[2], reads[2];
        uint32_t read_address[2];
        uint32_t write_address[2];
        uint64_t write_data[2], write_mask[2];  // 36 bits from write_address on
    };
    struct MultState {
        int64_t value[4] = {}, next[4] = {};
    };

    uint8_t level(int k) const { return net[CLOCKS[k].net] ^ uint8_t(CLOCKS[k].inverted); }

    template <int N>
    uint64_t gather(const int32_t (&nets)[N]) const {
        uint64_t value = 0;
        for (int i = 0; i < N; ++i) value |= uint64_t(net[nets[i]]) << i;
        return value;
    }
    template <int N>
    void scatter(const int32_t (&nets)[N], uint64_t value) {
        for (int i = 0; i < N; ++i)
            if (nets[i] >= 0) net[nets[i]] = (value >> i) & 1;
    }

    void run_all() {
        for (int i = 0; i < N_SEGMENTS; ++i) run(SEGMENTS[i].kind, SEGMENTS[i].from, SEGMENTS[i].to);
    }

    void run(int kind, int from, int to) {
        uint8_t* const n = net.data();
        const Op* const end = OPS + to;
        const Op* o = OPS + from;
        switch (kind) {
            case LUT:
                for (; o < end; ++o) n[o->z] = (o->init >> (n[o->a] | n[o->b] << 1 | n[o->c] << 2 | n[o->d] << 3)) & 1;
                break;
            case MUX:
                for (; o < end; ++o) n[o->z] = n[n[o->c] ? o->a : o->b];
                break;
            case CARRY:
                for (; o < end; ++o) {
                    const uint32_t low = n[o->a] | n[o->b] << 1;
                    const uint8_t lut = (o->init >> (low | n[o->c] << 2 | n[o->d] << 3)) & 1;
                    const uint8_t carry = n[o->e], used = !(o->init >> 16 & 1);
                    n[o->z] = lut ^ (carry & used);
                    n[o->z + 1] = lut ? carry : (o->init >> low) & used;
                }
                break;
            case RAM_READ:
                for (; o < end; ++o) scatter(LUT_RAMS[o->a].out, lut_ram_[o->a].words[gather(LUT_RAMS[o->a].read)]);
                break;
            case MULTIPLY:
                for (; o < end; ++o) scatter(MULTIPLIERS[o->a].p, uint64_t(product(o->a)));
                break;
        }
    }

    // Factor with the sign that its SIGNED input gives it
    static int64_t extend(uint64_t value, bool is_signed) {
        return is_signed && (value >> 17) ? int64_t(value) - (1 << 18) : int64_t(value);
    }
    int64_t factor(int i, int which) const {
        const Multiplier& m = MULTIPLIERS[i];
        if (m.stage[which].clock >= 0) return mult_[i].value[which];
        return which == 0 ? extend(gather(m.a), net[m.signed_a]) : extend(gather(m.b), net[m.signed_b]);
    }
    int64_t product(int i) const { return factor(i, 0) * factor(i, 1); }

    static uint64_t part_of(uint64_t word, uint32_t address, int width) {
        const uint32_t byte = (word >> (address & 8 ? 9 : 0)) & 511;
        switch (width) {
            case 1: return (byte >> (address & 7)) & 1;
            case 2: return (byte >> (address & 6)) & 3;
            case 4: return (byte >> (address & 4)) & 15;
            case 9: return byte;
            case 18: return word & 0x3FFFF;
            default: return word;
        }
    }

    void ram_port(int i, int p) {
        const RamPort& port = BLOCK_RAMS[i].port[p];
        RamState& s = ram_[i];
        s.update[p] = s.write[p] = s.reads[p] = false;
        if (port.clock < 0 || !rises_[port.clock]) return;
        const bool ce = net[port.ce] ^ (port.inverted & 1), oce = net[port.oce] ^ ((port.inverted >> 1) & 1);
        const bool we = net[port.we] ^ ((port.inverted >> 2) & 1), rst = net[port.rst] ^ ((port.inverted >> 3) & 1);
        const bool active = ce && int32_t(gather(port.select)) == port.select_value;
        if (!active && !rst && !(port.registered && oce)) return;
        s.update[p] = true;
        s.next_pipe[p] = rst ? 0 : oce ? s.out[p] : s.pipe[p];
        s.next_out[p] = rst ? 0 : s.out[p];
        if (!active) return;
        const uint32_t address = uint32_t(gather(port.address));
        const bool wide = port.width == 36;
        const uint32_t low = wide ? (address >> 4) & ~1u : address >> 4;
        const uint64_t old = s.words[low] | uint64_t(wide ? s.words[low | 1] : 0) << 18;
        uint64_t fresh = old;
        if (we && !rst) {
            uint64_t data = gather(port.data);
            if (wide) data |= gather(BLOCK_RAMS[i].port[1].data) << 18;
            const uint32_t bytes = wide ? address & 15 : port.width == 18 ? address & 3 : address & 8 ? 2 : 1;
            uint64_t written = 0;
            for (int b = 0; b < 4; ++b) written |= bytes >> b & 1 ? uint64_t(511) << 9 * b : 0;
            if (port.width < 9) {
                const int shift = (address & 8 ? 9 : 0) + int(address & (port.width == 1 ? 7 : port.width == 2 ? 6 : 4));
                const uint64_t mask = ((uint64_t(1) << port.width) - 1) << shift;
                data = data << shift;
                written = mask;
            } else if (port.width == 9) {
                data = (data & 511) << (address & 8 ? 9 : 0);
            }
            fresh = (old & ~written) | (data & written);
            s.write[p] = true;
            s.write_address[p] = low;
            s.write_mask[p] = written;
            s.write_data[p] = fresh;
        }
        if (rst || (we && port.mode == 0)) return;
        s.reads[p] = true;
        s.read_address[p] = address;
        s.next_out[p] = part_of(we && port.mode == 1 ? fresh : old, address, port.width);
    }

    // What a port reads of bits that the other one writes at the same edge is not defined: show wrong ones.
    void ram_collide(int i, int p) {
        RamState& s = ram_[i];
        const RamPort& port = BLOCK_RAMS[i].port[p];
        if (!s.reads[p] || !s.write[1 - p]) return;
        const uint32_t address = s.read_address[p], from = s.write_address[1 - p];
        const uint32_t low = port.width == 36 ? (address >> 4) & ~1u : address >> 4;
        if (low >> 1 != from >> 1) return;
        const uint64_t pair = s.write_mask[1 - p] << (from & 1) * 18;
        s.next_out[p] ^= part_of(pair >> (low & 1) * 18, address, port.width);
    }

    void ram_commit(int i) {
        RamState& s = ram_[i];
        for (int p = 0; p < 2; ++p) {
            for (int half = 0; half < 2 && s.write[p]; ++half) {
                const uint32_t mask = (s.write_mask[p] >> 18 * half) & 0x3FFFF;
                uint32_t& word = s.words[s.write_address[p] | half];
                word = (word & ~mask) | (uint32_t(s.write_data[p] >> 18 * half) & mask);
            }
            if (!s.update[p]) continue;
            s.out[p] = s.next_out[p];
            s.pipe[p] = s.next_pipe[p];
            const RamPort& port = BLOCK_RAMS[i].port[p];
            const uint64_t value = port.registered ? s.pipe[p] : s.out[p];
            if (port.width == 36 && p == 1) {  // read onto both ports' pins
                scatter(BLOCK_RAMS[i].port[0].out, value);
                scatter(port.out, value >> 18);
            } else if (BLOCK_RAMS[i].port[1].width != 36 || p == 1) {
                scatter(port.out, value);
            }
        }
    }

    void mult_edge(int i) {
        const Multiplier& m = MULTIPLIERS[i];
        MultState& s = mult_[i];
        for (int k = 0; k < 4; ++k) {
            const Stage& stage = m.stage[k];
            s.next[k] = s.value[k];
            if (stage.clock < 0 || !rises_[stage.clock]) continue;
            if (net[stage.rst])
                s.next[k] = 0;
            else if (net[stage.ce])
                s.next[k] = k == 0   ? extend(gather(m.a), net[m.signed_a])
                            : k == 1 ? extend(gather(m.b), net[m.signed_b])
                            : k == 2 ? product(i)
                                     : m.stage[2].clock >= 0 ? s.value[2] : product(i);
        }
    }

    void clock_edge() {
        uint8_t* const n = net.data();
        memcpy(next_.data(), n + FLOP_NET, N_FLOPS);
        for (int i = 0; i < N_GROUPS; ++i) {
            const Group& g = GROUPS[i];
            if (!rises_[g.clock]) continue;
            if (n[g.lsr] ^ ((g.flags >> 1) & 1))
                memset(next_.data() + g.from, (g.flags >> 2) & 1, g.to - g.from);
            else if (n[g.ce] ^ (g.flags & 1))
                for (int f = g.from; f < g.to; ++f) next_[f] = n[FLOP_D[f]];
        }
        for (int i = 0; i < N_BLOCK_RAMS; ++i) {
            ram_port(i, 0), ram_port(i, 1);
            ram_collide(i, 0), ram_collide(i, 1);
        }
        for (int i = 0; i < N_MULTIPLIERS; ++i) mult_edge(i);
        for (int i = 0; i < N_LUT_RAMS; ++i) {
            const LutRam& r = LUT_RAMS[i];
            lut_ram_[i].address = -1;
            if (!rises_[r.clock] || !(net[r.we] ^ r.we_inverted)) continue;
            lut_ram_[i].address = int32_t(gather(r.write));
            lut_ram_[i].value = uint8_t(gather(r.data));
        }
        // every cell has looked at the nets: now they change
        memcpy(n + FLOP_NET, next_.data(), N_FLOPS);
        for (int i = 0; i < N_BLOCK_RAMS; ++i) ram_commit(i);
        for (int i = 0; i < N_LUT_RAMS; ++i)
            if (lut_ram_[i].address >= 0) lut_ram_[i].words[lut_ram_[i].address] = lut_ram_[i].value;
        for (int i = 0; i < N_MULTIPLIERS; ++i) {
            const Multiplier& m = MULTIPLIERS[i];
            memcpy(mult_[i].value, mult_[i].next, sizeof mult_[i].next);
            if (m.stage[3].clock >= 0)
                scatter(m.p, uint64_t(mult_[i].value[3]));
            else if (m.stage[2].clock >= 0)
                scatter(m.p, uint64_t(mult_[i].value[2]));
            else if (m.stage[0].clock >= 0 && m.stage[1].clock >= 0)
                scatter(m.p, uint64_t(product(i)));
        }
    }

    std::vector<uint8_t> next_, clock_, rises_;
    std::vector<LutRamState> lut_ram_;
    std::vector<RamState> ram_;
    std::vector<MultState> mult_;
};
