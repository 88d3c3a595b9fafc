// SPDX-License-Identifier: Apache-2.0
// Bulk loop around a Verilator model: feeds and drains every AXI4-Stream port of a module from flat arrays.
// sim/verilate.py generates a file that includes the model, defines vt_bind() (the table of ports) and includes this.
// A beat is ceil(bits / 32) little-endian 32-bit words, everywhere.

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "verilated.h"
#include "verilated_syms.h"

// $error, $fatal and failed assertions must not end the Python process.
void vl_stop(const char* file, int line, const char*) {
    throw std::runtime_error(std::string("the model stopped at ") + file + ":" + std::to_string(line));
}
void vl_fatal(const char* file, int line, const char*, const char* message) {
    throw std::runtime_error(std::string(message) + " (" + file + ":" + std::to_string(line) + ")");
}
void vl_warn(const char* file, int line, const char*, const char* message) {
    throw std::runtime_error(std::string(message) + " (" + file + ":" + std::to_string(line) + ")");
}
void vl_finish(const char* file, int line, const char*) {
    throw std::runtime_error(std::string("$finish at ") + file + ":" + std::to_string(line));
}

namespace {

struct Signal {
    uint8_t* at = nullptr;
    uint32_t bytes = 0;  // size of Verilator's storage
};

struct Model {
    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<Vdut> dut;
    std::vector<Signal> ports;
#ifdef VT_TRACE
    std::unique_ptr<VT_TRACE_CLASS> trace;
#endif
};

uint32_t get_bit(const Signal& s, uint32_t bit) { return (s.at[bit >> 3] >> (bit & 7)) & 1u; }

void put_bit(const Signal& s, uint32_t bit, uint32_t value) {
    uint8_t& byte = s.at[bit >> 3];
    byte = uint8_t((byte & ~(1u << (bit & 7))) | (value << (bit & 7)));
}

// Lane `lane` of a packed port, `bits` wide; one lane is the common case and is copied whole.
void get_lane(const Signal& s, uint32_t lane, uint32_t lanes, uint32_t bits, uint32_t* out) {
    const uint32_t words = (bits + 31) / 32;
    out[words - 1] = 0;
    if (lanes == 1) {
        memcpy(out, s.at, s.bytes < words * 4 ? s.bytes : words * 4);
        return;
    }
    memset(out, 0, words * 4);
    for (uint32_t i = 0; i < bits; ++i) out[i >> 5] |= get_bit(s, lane * bits + i) << (i & 31);
}

void put_lane(const Signal& s, uint32_t lane, uint32_t lanes, uint32_t bits, const uint32_t* in) {
    const uint32_t words = (bits + 31) / 32;
    if (lanes == 1) {
        memcpy(s.at, in, s.bytes < words * 4 ? s.bytes : words * 4);
        return;
    }
    for (uint32_t i = 0; i < bits; ++i) put_bit(s, lane * bits + i, (in[i >> 5] >> (i & 31)) & 1u);
}

struct Random {
    uint64_t state;
    uint32_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return uint32_t(state >> 32);
    }
    bool percent(uint32_t p) { return next() % 100 < p; }
};

void vt_bind(Vdut* dut, std::vector<Signal>& ports);

}  // namespace

#define VT_API __attribute__((visibility("default")))

extern "C" {

// Mirrored by ctypes structures in sim/verilate.py.
struct VtStream {
    const char* name;
    int32_t data, valid, ready, last_port;  // port indices, -1 = absent; last_port is tlast
    uint32_t lane, lanes, bits, stall;
    uint32_t* beats;         // input: beats to send; output: room for the beats of all jobs
    const int64_t* job_end;  // beats up to and including job j
    int64_t* first;          // output: cycle of the first and last beat of each job, -1 = none
    int64_t* last;
    int64_t done;  // beats transferred
};

struct VtProbe {
    const char *scope, *data, *valid, *ready;
    uint32_t bits, capacity;
    uint32_t* beats;
    uint32_t* stamps;  // cycle of each beat
    int64_t done;
};

struct VtRun {
    VtStream *in, *out;
    VtProbe* probes;
    const int32_t* cfg_ports;
    const uint32_t *cfg, *other;  // [job][port][cfg_words]; other: wrong values shown once a job's cfg was sampled
    const int32_t* write_ports;
    const uint32_t* writes;  // [write][port], one cycle each after reset
    int64_t reset_at, max_cycles, idle_limit, tail, trace_from, trace_to;
    uint64_t seed;
    int32_t n_in, n_out, n_probes, n_jobs, n_cfg, cfg_words, n_writes, n_write_ports;
    int32_t cfg_stream, cfg_hold, allow_extra;
    const char* trace_path;
    int64_t cycles;  // out: cycles after the (last) reset
    char message[4096];
};

VT_API void* vt_new(uint64_t seed) {
    auto model = std::make_unique<Model>();
    model->context = std::make_unique<VerilatedContext>();
    model->context->randReset(2);
    model->context->randSeed(int(seed & 0x7fffffff) | 1);
    model->context->fatalOnError(true);
    model->context->errorLimit(1);
#ifdef VT_TRACE
    model->context->traceEverOn(true);
#endif
    model->dut = std::make_unique<Vdut>(model->context.get(), "TOP");
    vt_bind(model->dut.get(), model->ports);
    return model.release();
}

// Evaluates the model once, so that initial blocks ($readmemh) run in the caller's working directory.
VT_API int32_t vt_start(void* handle, char* message, int64_t room) {
    Model& m = *static_cast<Model*>(handle);
    try {
        m.ports[VT_CLK].at[0] = 0;
        m.dut->eval();
    } catch (const std::exception& error) {
        snprintf(message, room, "%s", error.what());
        return 1;
    }
    return 0;
}

VT_API void vt_delete(void* handle) { delete static_cast<Model*>(handle); }

// Lines "scope name bits" of the variables marked public_flat_rd; returns the length needed.
VT_API int64_t vt_list(void* handle, char* text, int64_t room) {
    Model& m = *static_cast<Model*>(handle);
    std::string all;
    if (const VerilatedScopeNameMap* scopes = m.context->scopeNameMap()) {
        for (const auto& scope : *scopes) {
            const VerilatedVarNameMap* vars = scope.second->varsp();
            if (!vars) continue;
            for (const auto& var : *vars) {
                int bits = 1;
                for (const VerilatedRange& range : var.second.packedRanges()) bits *= range.elements();
                all += std::string(scope.first) + " " + var.first + " " + std::to_string(bits) + "\n";
            }
        }
    }
    if (int64_t(all.size()) < room) memcpy(text, all.c_str(), all.size() + 1);
    return int64_t(all.size()) + 1;
}

// Low 32 bits of a public variable; -1 when it does not exist.
VT_API int64_t vt_peek(void* handle, const char* scope, const char* name) {
    Model& m = *static_cast<Model*>(handle);
    const VerilatedScope* s = m.context->scopeFind(scope);
    VerilatedVar* v = s ? s->varFind(name) : nullptr;
    if (!v) return -1;
    uint32_t value = 0;
    memcpy(&value, v->datap(), v->entSize() < 4 ? v->entSize() : 4);
    return value;
}
}

namespace {

struct StreamState {
    bool valid = false, fired = false, ready = false, wait_valid = false;
    bool was_stalled = false;
    int32_t burst = 0;
    int64_t job = 0, index = 0;
    uint32_t words = 0;
    Signal data, v, r;
    std::vector<uint32_t> held, now;
};

struct ProbeState {
    Signal data, valid, ready;
};

struct Loop {
    Model& m;
    VtRun& run;
    Random random;
    std::vector<StreamState> in, out;
    std::vector<ProbeState> probes;
    Signal clk, rst;
    int64_t job = 0;  // the job whose cfg is applied
    std::vector<uint32_t> zero;

    Loop(Model& model, VtRun& r) : m(model), run(r), random{r.seed * 0x9E3779B97F4A7C15ull + 0x1234567ull} {
        in.resize(run.n_in);
        out.resize(run.n_out);
        for (int i = 0; i < 8; ++i) random.next();
        for (int i = 0; i < run.n_in; ++i) bind(in[i], run.in[i]);
        for (int i = 0; i < run.n_out; ++i) bind(out[i], run.out[i]);
        clk = m.ports[VT_CLK];
        if (VT_RST >= 0) rst = m.ports[VT_RST];
        zero.assign(4096, 0);
        for (int i = 0; i < run.n_probes; ++i) {
            const VtProbe& p = run.probes[i];
            probes.push_back({find(p.scope, p.data), find(p.scope, p.valid), find(p.scope, p.ready)});
        }
    }

    Signal find(const char* scope, const char* name) {
        const VerilatedScope* s = m.context->scopeFind(scope);
        VerilatedVar* v = s ? s->varFind(name) : nullptr;
        if (!v) throw std::runtime_error(std::string("no public variable ") + name + " in " + scope);
        return {static_cast<uint8_t*>(v->datap()), uint32_t(v->entSize())};
    }

    void bind(StreamState& s, const VtStream& d) {
        s.words = (d.bits + 31) / 32;
        if (d.data >= 0) s.data = m.ports[d.data];
        s.v = m.ports[d.valid];
        if (d.ready >= 0) s.r = m.ports[d.ready];
        s.held.assign(s.words, 0);
        s.now.assign(s.words, 0);
    }

    // One clock cycle in two halves; inputs change with the falling edge, outputs are read before the rising one.
    void fall() {
        clk.at[0] = 0;
        m.dut->eval();
        dump();
        m.context->timeInc(1);
    }
    void rise() {
        clk.at[0] = 1;
        m.dut->eval();
        dump();
        m.context->timeInc(1);
    }
    void dump() {
#ifdef VT_TRACE
        if (m.trace && run.cycles >= run.trace_from && run.cycles <= run.trace_to) m.trace->dump(m.context->time());
#endif
    }

    int64_t total(const VtStream& d) const { return run.n_jobs ? d.job_end[run.n_jobs - 1] : 0; }

    void apply_cfg(int64_t j, bool garbage) {
        for (int p = 0; p < run.n_cfg; ++p) {
            const uint32_t* words = (garbage ? run.other : run.cfg) + (j * run.n_cfg + p) * run.cfg_words;
            memcpy(m.ports[run.cfg_ports[p]].at, words, m.ports[run.cfg_ports[p]].bytes);
        }
    }

    bool same_cfg(int64_t a, int64_t b) const {
        const int64_t n = int64_t(run.n_cfg) * run.cfg_words;
        return n == 0 || memcmp(run.cfg + a * n, run.cfg + b * n, n * 4) == 0;
    }

    void reset(int cycles) {
        for (int i = 0; i < run.n_in; ++i) {
            put_bit(in[i].v, run.in[i].lane, 0);
            in[i].valid = false;
            in[i].job = 0;
            in[i].burst = 0;
            in[i].wait_valid = false;
            run.in[i].done = 0;
        }
        for (int i = 0; i < run.n_out; ++i) {
            if (run.out[i].ready >= 0) put_bit(out[i].r, run.out[i].lane, 0);
            out[i].was_stalled = out[i].fired = out[i].valid = false;
            out[i].job = 0;
            out[i].burst = 0;
            out[i].wait_valid = run.out[i].stall > 0 && (run.seed & 1);
            run.out[i].done = 0;
            for (int j = 0; j < run.n_jobs; ++j) run.out[i].first[j] = run.out[i].last[j] = -1;
        }
        for (int i = 0; i < run.n_probes; ++i) run.probes[i].done = 0;
        job = 0;
        if (run.n_jobs) apply_cfg(0, false);
        for (int p = 0; p < run.n_write_ports; ++p) memset(m.ports[run.write_ports[p]].at, 0, m.ports[run.write_ports[p]].bytes);
        if (VT_RST >= 0) {
            rst.at[0] = 1;
            for (int i = 0; i < cycles; ++i) fall(), rise();
            rst.at[0] = 0;
        }
        for (int w = 0; w < run.n_writes; ++w) {
            for (int p = 0; p < run.n_write_ports; ++p) {
                const Signal& s = m.ports[run.write_ports[p]];
                memcpy(s.at, run.writes + w * run.n_write_ports + p, s.bytes < 4 ? s.bytes : 4);
            }
            fall(), rise();
        }
        if (run.n_writes)
            for (int p = 0; p < run.n_write_ports; ++p)
                memset(m.ports[run.write_ports[p]].at, 0, m.ports[run.write_ports[p]].bytes);
        run.cycles = 0;
    }

    // A stall is drawn per cycle, and now and then lasts for tens of cycles, so that buffers fill and drain.
    bool stalled(StreamState& s, uint32_t percent) {
        if (percent == 0) return false;
        if (s.burst > 0) {
            --s.burst;
            return true;
        }
        if (!random.percent(percent)) return false;
        if (random.next() % 64 == 0) s.burst = int32_t(random.next() % 40);
        return true;
    }

    // The job whose sizes are on the cfg inputs.
    void choose_job() {
        if (run.n_jobs == 0) return;
        const int64_t before = job;
        if (run.cfg_stream >= 0) {
            const VtStream& f = run.in[run.cfg_stream];
            while (job + 1 < run.n_jobs && f.done >= f.job_end[job]) ++job;
            const int64_t start = job ? f.job_end[job - 1] : 0;
            const bool sampled = f.done > start;
            apply_cfg(job, sampled && !run.cfg_hold);
            return;
        }
        while (job + 1 < run.n_jobs) {
            bool complete = true;
            for (int i = 0; i < run.n_in; ++i) complete &= run.in[i].done >= run.in[i].job_end[job];
            if (run.n_in == 0)
                for (int i = 0; i < run.n_out; ++i) complete &= run.out[i].done >= run.out[i].job_end[job];
            if (!complete && !same_cfg(job, job + 1)) break;
            ++job;
        }
        if (job != before) apply_cfg(job, false);
    }

    std::string state(int64_t idle) {
        std::string text = "no handshake for " + std::to_string(idle) + " cycles at cycle " + std::to_string(run.cycles) + ":";
        char line[256];
        for (int i = 0; i < run.n_in; ++i) {
            snprintf(line, sizeof line, "\n  %s (in): %lld of %lld beats, tvalid=%u tready=%u", run.in[i].name,
                     (long long)run.in[i].done, (long long)total(run.in[i]), get_bit(in[i].v, run.in[i].lane),
                     run.in[i].ready >= 0 ? get_bit(in[i].r, run.in[i].lane) : 1);
            text += line;
        }
        for (int i = 0; i < run.n_out; ++i) {
            snprintf(line, sizeof line, "\n  %s (out): %lld of %lld beats, tvalid=%u tready=%u", run.out[i].name,
                     (long long)run.out[i].done, (long long)total(run.out[i]), get_bit(out[i].v, run.out[i].lane),
                     run.out[i].ready >= 0 ? get_bit(out[i].r, run.out[i].lane) : 1);
            text += line;
        }
        for (int i = 0; i < run.n_probes; ++i) {
            if (run.probes[i].done >= int64_t(run.probes[i].capacity)) continue;
            snprintf(line, sizeof line, "\n  %s (inside): %lld of %lld beats, tvalid=%u tready=%u", run.probes[i].valid,
                     (long long)run.probes[i].done, (long long)run.probes[i].capacity, probes[i].valid.at[0] & 1,
                     probes[i].ready.at[0] & 1);
            text += line;
        }
        return text;
    }

    std::string where(const char* what, const VtStream& d) {
        return std::string(d.name) + " " + what + " at beat " + std::to_string(d.done) + ", cycle " + std::to_string(run.cycles);
    }

    void go() {
        if (VT_RST < 0 && run.reset_at >= 0) throw std::runtime_error("reset_at was given, but the module has no port rst");
        reset(4);
        int64_t idle = 0, tail = 0;
        bool reset_pending = run.reset_at >= 0;
        while (true) {
            if (reset_pending && run.cycles == run.reset_at) {
                reset_pending = false;
                idle = tail = 0;
                reset(2);
            }
            bool finished = !reset_pending;
            for (int i = 0; i < run.n_in && finished; ++i) finished = run.in[i].done >= total(run.in[i]);
            for (int i = 0; i < run.n_out && finished; ++i) finished = run.out[i].done >= total(run.out[i]);
            for (int i = 0; i < run.n_probes && finished; ++i)
                finished = run.probes[i].done >= int64_t(run.probes[i].capacity);
            if (finished && ++tail > run.tail) break;
            if (!finished && run.max_cycles > 0 && run.cycles >= run.max_cycles)
                throw std::runtime_error("not finished after max_cycles; " + state(idle));
            if (!finished && !reset_pending && idle >= run.idle_limit) throw std::runtime_error(state(idle));

            choose_job();
            for (int i = 0; i < run.n_in; ++i) {
                VtStream& d = run.in[i];
                StreamState& s = in[i];
                if (s.valid || d.done >= total(d)) continue;
                while (d.done >= d.job_end[s.job]) ++s.job;
                if (s.job > job || stalled(s, d.stall)) continue;
                s.valid = true;
                if (d.data >= 0) put_lane(s.data, d.lane, d.lanes, d.bits, d.beats + d.done * s.words);
                if (d.last_port >= 0) put_bit(m.ports[d.last_port], d.lane, d.done + 1 == d.job_end[s.job]);
                put_bit(s.v, d.lane, 1);
            }
            for (int i = 0; i < run.n_out; ++i) {
                VtStream& d = run.out[i];
                StreamState& s = out[i];
                bool ready = !stalled(s, d.stall) && (!s.wait_valid || s.was_stalled);
                if (run.allow_extra && d.done >= total(d)) ready = false;
                if (ready != s.ready || run.cycles == 0) {
                    s.ready = ready;
                    if (d.ready >= 0) put_bit(s.r, d.lane, ready);
                }
            }
            fall();
            bool any = false;
            for (int i = 0; i < run.n_in; ++i) {
                in[i].fired = in[i].valid && (run.in[i].ready < 0 || get_bit(in[i].r, run.in[i].lane));
                any |= in[i].fired;
            }
            for (int i = 0; i < run.n_out; ++i) {
                VtStream& d = run.out[i];
                StreamState& s = out[i];
                const bool valid = get_bit(s.v, d.lane);
                s.fired = valid && s.ready;
                if (s.was_stalled && !valid) throw std::runtime_error(where("dropped tvalid while stalled", d));
                if (!valid) {
                    s.was_stalled = false;
                    continue;
                }
                if (d.data >= 0) get_lane(s.data, d.lane, d.lanes, d.bits, s.now.data());
                if (s.was_stalled && s.now != s.held) throw std::runtime_error(where("changed tdata while stalled", d));
                s.was_stalled = !s.ready;
                if (s.was_stalled) s.held = s.now;
                if (!s.fired) continue;
                any = true;
                if (d.done >= total(d)) throw std::runtime_error(where("sent a beat more than expected", d));
                memcpy(d.beats + d.done * s.words, s.now.data(), s.words * 4);
                while (d.done >= d.job_end[s.job]) ++s.job;
                if (d.last_port >= 0 && get_bit(m.ports[d.last_port], d.lane) != (d.done + 1 == d.job_end[s.job]))
                    throw std::runtime_error(where("has a wrong tlast", d));
                if (d.first[s.job] < 0) d.first[s.job] = run.cycles;
                d.last[s.job] = run.cycles;
                ++d.done;
            }
            for (int i = 0; i < run.n_probes; ++i) {
                VtProbe& p = run.probes[i];
                const ProbeState& s = probes[i];
                if (!(s.valid.at[0] & 1) || !(s.ready.at[0] & 1)) continue;
                if (p.done < int64_t(p.capacity)) {
                    const uint32_t words = (p.bits + 31) / 32;
                    get_lane(s.data, 0, 1, p.bits, p.beats + p.done * words);
                    p.stamps[p.done] = uint32_t(run.cycles);
                }
                ++p.done;
                any = true;
            }
            rise();
            ++run.cycles;
            idle = any ? 0 : idle + 1;
            for (int i = 0; i < run.n_in; ++i) {
                if (!in[i].fired) continue;
                in[i].fired = in[i].valid = false;
                ++run.in[i].done;
                put_bit(in[i].v, run.in[i].lane, 0);
            }
        }
        run.cycles -= run.tail;
    }
};

}  // namespace

// 0 = done, 1 = failed with run->message.
extern "C" VT_API int32_t vt_run(void* handle, VtRun* run) {
    Model& m = *static_cast<Model*>(handle);
    int32_t code = 0;
    try {
#ifdef VT_TRACE
        if (run->trace_path) {
            m.trace = std::make_unique<VT_TRACE_CLASS>();
            m.dut->trace(m.trace.get(), 99);
            m.trace->open(run->trace_path);
        }
#endif
        Loop loop(m, *run);
        loop.go();
    } catch (const std::exception& error) {
        snprintf(run->message, sizeof run->message, "%s", error.what());
        code = 1;
    }
#ifdef VT_TRACE
    if (m.trace) {
        m.trace->close();
        m.trace.reset();
    }
#endif
    return code;
}
