// Threads that work through the same steps side by side and meet at barriers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace unrolled {

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// About a microsecond of spinning, for threads that run side by side; then it gives way to others.
template <typename Condition>
void wait_until(Condition holds) {
    for (int spins = 0; !holds(); ++spins) {
        if (spins < 500)
            pause();
        else
            std::this_thread::yield();
    }
}

class Team {
public:
    explicit Team(int threads) : size(threads) {
        for (int id = 1; id < threads; ++id) workers.emplace_back([this, id] { work(id); });
    }

    ~Team() {
        {
            std::lock_guard lock(mutex);
            closing = true;
        }
        wake.notify_all();
        for (std::thread& worker : workers) worker.join();
    }

    // Every thread runs `task(id)`; returns when all are done.
    void run(const std::function<void(int)>& task) {
        if (size > 1) {
            std::lock_guard lock(mutex);
            current = &task;
            ++round;
        }
        wake.notify_all();
        task(0);
        meet();
    }

    // Waits for all threads.
    void meet() {
        if (size == 1) return;
        const unsigned phase = phases.load(std::memory_order_relaxed);
        if (waiting.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
            waiting.store(0, std::memory_order_relaxed);
            phases.store(phase + 1, std::memory_order_release);
            return;
        }
        wait_until([&] { return phases.load(std::memory_order_acquire) != phase; });
    }

    // As meet, but the first thread does `between` after all have come and before any goes on.
    template <typename Between>
    void meet(int id, Between between) {
        const unsigned phase = phases.load(std::memory_order_relaxed);
        if (id != 0) {
            waiting.fetch_add(1, std::memory_order_acq_rel);
            return wait_until([&] { return phases.load(std::memory_order_acquire) != phase; });
        }
        wait_until([&] { return waiting.load(std::memory_order_acquire) == size - 1; });
        between();
        waiting.store(0, std::memory_order_relaxed);
        phases.store(phase + 1, std::memory_order_release);
    }

    const int size;

private:
    void work(int id) {
        unsigned seen = 0;
        while (true) {
            const std::function<void(int)>* task;
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [&] { return closing || round != seen; });
                if (closing) return;
                seen = round;
                task = current;
            }
            (*task)(id);
            meet();
        }
    }

    std::vector<std::thread> workers;
    std::mutex mutex;
    std::condition_variable wake;
    const std::function<void(int)>* current = nullptr;
    unsigned round = 0;
    bool closing = false;
    std::atomic<int> waiting{0};
    std::atomic<unsigned> phases{0};
};

}  // namespace unrolled
