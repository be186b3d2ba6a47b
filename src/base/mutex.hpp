// std::mutex with the attributes that clang's -Wthread-safety reads.
#pragma once

#include <mutex>

#if defined(__clang__)
#define DSM_ATTRIBUTE(x) __attribute__((x))
#else
#define DSM_ATTRIBUTE(x)
#endif
#define DSM_GUARDED_BY(x) DSM_ATTRIBUTE(guarded_by(x))
#define DSM_REQUIRES(...) DSM_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define DSM_EXCLUDES(...) DSM_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define DSM_ACQUIRE(...) DSM_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define DSM_RELEASE(...) DSM_ATTRIBUTE(release_capability(__VA_ARGS__))
#define DSM_TRY_ACQUIRE(...) DSM_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define DSM_NO_THREAD_SAFETY_ANALYSIS DSM_ATTRIBUTE(no_thread_safety_analysis)

namespace dsm {

class DSM_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() DSM_ACQUIRE() { mutex_.lock(); }
  void unlock() DSM_RELEASE() { mutex_.unlock(); }
  bool try_lock() DSM_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class DSM_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) DSM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() DSM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace dsm
