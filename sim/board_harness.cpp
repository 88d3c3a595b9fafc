// SPDX-License-Identifier: Apache-2.0
// Pin-level loop around a Verilator model of a board top: the oscillator and a serial adapter with its own bit clock.
// sim/board.py generates a file that includes the model's sources and then this one.
// Ports of the model: clk_25mhz, btn_pwr_n, ftdi_txd (from the adapter), ftdi_rxd (to the adapter), led.

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>

#include "verilated.h"

// $error and failed assertions must not end the Python process.
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

// Sends bytes, 8N1, with edges at any fraction of a clock cycle.
struct Sender {
    std::deque<uint8_t> bytes;
    double start = -1;  // time of the start edge of the byte being sent, negative when idle
    double free_at = 0;

    int level(double now, double period) {
        if (start < 0) {
            if (bytes.empty()) return 1;
            start = free_at > now - 1 ? free_at : now;
        }
        if (now < start) return 1;
        const int bit = int((now - start) / period);
        if (bit >= 10) {
            free_at = start + 10 * period;
            start = -1;
            bytes.pop_front();
            return level(now, period);
        }
        if (bit == 0) return 0;
        return bit == 9 ? 1 : (bytes.front() >> (bit - 1)) & 1;
    }
};

// Receives bytes, 8N1, sampling the middle of each bit after the start edge.
struct Receiver {
    double start = -1;
    int bit = 0;
    uint8_t value = 0;
    int last = 1;
    int64_t framing_errors = 0;

    // Returns the byte that ends now, or -1.
    int sample(double now, double period, int level) {
        int done = -1;
        if (start < 0) {
            if (last == 1 && level == 0) {
                start = now;
                bit = 0;
                value = 0;
            }
        } else if (now >= start + (bit + 0.5) * period) {
            if (bit >= 1 && bit <= 8) value |= uint8_t(level << (bit - 1));
            if (bit == 9) {
                if (level) done = value;
                else framing_errors++;
                start = -1;
            }
            bit++;
        }
        last = level;
        return done;
    }
};

struct Board {
    VerilatedContext context;
    std::unique_ptr<Vdut> dut;
    Sender sender;
    Receiver receiver;
    int64_t now = 0;
    double phase = 0;
};

void cycle(Board& b) {
    b.dut->clk_25mhz = 1;
    b.dut->eval();
    b.dut->clk_25mhz = 0;
    b.dut->eval();
    b.now++;
}

}  // namespace

#define VT_API extern "C" __attribute__((visibility("default")))

// A model after a press of the reset button; null and a message when it stopped.
VT_API void* board_new(uint64_t seed, double phase, char* message, int64_t room) {
    auto b = std::make_unique<Board>();
    try {
        b->context.randReset(2);
        b->context.randSeed(int(seed & 0x7fffffff) | 1);
        b->context.fatalOnError(true);
        b->context.errorLimit(1);
        b->phase = phase;
        b->dut = std::make_unique<Vdut>(&b->context, "TOP");
        b->dut->ftdi_txd = 1;
        b->dut->btn_pwr_n = 0;
        for (int i = 0; i < 8; i++) cycle(*b);
        b->dut->btn_pwr_n = 1;
        for (int i = 0; i < 8; i++) cycle(*b);
    } catch (const std::exception& error) {
        strncpy(message, error.what(), size_t(room - 1));
        return nullptr;
    }
    return b.release();
}

VT_API void board_delete(void* handle) { delete static_cast<Board*>(handle); }

// Press (0) or release (1) the reset button.
VT_API void board_button(void* handle, int level) { static_cast<Board*>(handle)->dut->btn_pwr_n = level & 1; }

VT_API int board_led(void* handle) { return static_cast<Board*>(handle)->dut->led; }

// Bytes that still wait to be sent to the board.
VT_API int64_t board_unsent(void* handle) { return int64_t(static_cast<Board*>(handle)->sender.bytes.size()); }

VT_API int64_t board_framing_errors(void* handle) { return static_cast<Board*>(handle)->receiver.framing_errors; }

// Queue bytes for the board and run some cycles; returns how many bytes came back, -1 and a message when it stopped.
// send_period and receive_period are the adapter's bit times in cycles.
VT_API int64_t board_run(void* handle, int64_t cycles, double send_period, double receive_period, const uint8_t* send,
                         int64_t send_count, uint8_t* received, int64_t room, char* message, int64_t message_room) {
    Board& b = *static_cast<Board*>(handle);
    int64_t count = 0;
    b.sender.bytes.insert(b.sender.bytes.end(), send, send + send_count);
    try {
        for (int64_t i = 0; i < cycles && count < room; i++) {
            const double now = double(b.now) + b.phase;
            b.dut->ftdi_txd = b.sender.level(now, send_period);
            cycle(b);
            const int byte = b.receiver.sample(now, receive_period, b.dut->ftdi_rxd);
            if (byte >= 0) received[count++] = uint8_t(byte);
        }
    } catch (const std::exception& error) {
        strncpy(message, error.what(), size_t(message_room - 1));
        return -1;
    }
    return count;
}
