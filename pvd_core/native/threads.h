// A pool of threads in which nobody waits for a thread that the system has not scheduled.
//
// Tasks are taken from a counter and the caller takes them too. A thread that wakes up late finds no task left and goes
// back to sleep; the caller waits only for threads that are inside a task. Idle threads sleep.

#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace pvd {

using Task = void (*)(void *context, int64_t number);

class Pool {
  public:
    // Runs task(context, 0), ..., task(context, count - 1) on up to `threads` threads, the caller's among them. What a
    // task computes must not depend on which thread runs it.
    void run(int64_t count, int threads, Task task, void *context) {
        std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
        // Somebody else has the pool: this thread does its work alone rather than wait.
        if (count <= 1 || threads <= 1 || !turn.owns_lock()) {
            for (int64_t number = 0; number < count; ++number) task(context, number);
            return;
        }
        Job job{task, context, count, {0}};
        const int helpers = static_cast<int>(threads - 1 < count - 1 ? threads - 1 : count - 1);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (num_threads_ < helpers && start_thread()) ++num_threads_;
            job_ = &job;
            open_places_ = helpers;
        }
        wake_.notify_all();
        job.work();
        std::unique_lock<std::mutex> lock(mutex_);
        job_ = nullptr;
        done_.wait(lock, [this] { return num_inside_ == 0; });
    }

    // The one pool of this process. A forked child has none of the parent's threads and starts a pool of its own.
    static Pool &instance() {
        static std::once_flag once;
        std::call_once(once, [] {
            current() = new Pool;
            pthread_atfork(nullptr, nullptr, [] { current() = new Pool; });
        });
        return *current();
    }

  private:
    struct Job {
        Task task;
        void *context;
        int64_t count;
        std::atomic<int64_t> next;

        void work() {
            for (int64_t number; (number = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
                task(context, number);
            }
        }
    };

    static Pool *&current() {
        static Pool *pool = nullptr;
        return pool;
    }

    bool start_thread() {
        try {
            std::thread(&Pool::serve, this).detach();
            return true;
        } catch (...) {  // The system gives no more threads: those that are there do the work.
            return false;
        }
    }

    void serve() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return job_ != nullptr && open_places_ > 0; });
            Job *job = job_;
            --open_places_;
            ++num_inside_;
            lock.unlock();
            job->work();
            lock.lock();
            if (--num_inside_ == 0) done_.notify_all();
        }
    }

    std::mutex turn_, mutex_;
    std::condition_variable wake_, done_;
    Job *job_ = nullptr;
    int open_places_ = 0, num_inside_ = 0, num_threads_ = 0;
};

// Calls work(number) for numbers 0 to count - 1.
template <class Work>
void parallel(int64_t count, int threads, Work &work) {
    Pool::instance().run(
        count, threads, [](void *context, int64_t number) { (*static_cast<Work *>(context))(number); }, &work);
}

// Calls work(begin, end) for parts of the numbers 0 to count - 1: rows, sites or points that take little each.
template <class Work>
void parallel_in_parts(int64_t count, int threads, Work &work) {
    constexpr int64_t most = 4096;
    auto part = [&](int64_t number) {
        const int64_t begin = number * most;
        work(begin, count - begin < most ? count : begin + most);
    };
    parallel((count + most - 1) / most, threads, part);
}

}  // namespace pvd
