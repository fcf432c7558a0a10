"""What the figures were measured on, and quantiles."""
import os
import platform
import subprocess
import time


def quantile(values, share):
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[round((len(ordered) - 1) * share)]


def median(values):
    return quantile(values, 0.5)


def fsync_ms(directory, count):
    """Times of appending 4 KiB to a file and flushing it to the disk."""
    path = os.path.join(directory, "fsync")
    times = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    os.unlink(path)
    return times


def copy_mib_per_s(source, directory):
    """Copying a file within the disk and flushing it: what any upload costs at least."""
    path = os.path.join(directory, "copy")
    began = time.perf_counter()
    with open(source, "rb") as reader, open(path, "wb", buffering=0) as writer:
        while block := reader.read(1 << 20):
            writer.write(block)
        os.fsync(writer.fileno())
    took = time.perf_counter() - began
    os.unlink(path)
    return os.path.getsize(source) / (1 << 20) / took


def memory_mb(pid):
    """VmRSS, PSS and the anonymous part of VmRSS of a process, in MB of 1,000,000 bytes."""
    status = "/proc/%d/status" % pid
    return _kb(status, "VmRSS:"), _kb("/proc/%d/smaps_rollup" % pid, "Pss:"), _kb(status, "RssAnon:")


def forget_peak(pid):
    """From now on `peak_mb` tells the peak since this call."""
    with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as file:
        file.write("5")


def peak_mb(pid):
    return _kb("/proc/%d/status" % pid, "VmHWM:")


def cpu_s(pid):
    """CPU time that a process has used."""
    return sum(int(ticks) for ticks in _stat(pid)[11:13]) / os.sysconf("SC_CLK_TCK")


def descendants(root):
    """Process ids of all below `root`."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents.setdefault(int(_stat(int(pid))[1]), []).append(int(pid))
        except OSError:
            pass  # gone meanwhile
    found = list(parents.get(root, []))
    for pid in found:
        found += parents.get(pid, [])
    return found


def _stat(pid):
    """The fields of /proc/PID/stat from the state on."""
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _kb(path, field):
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("%s has no %s" % (path, field))


def describe(root, directory):
    """Machine and commit, as lines."""
    git = ["git", "-C", root]
    commit = subprocess.run(git + ["rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(git + ["status", "--porcelain"], capture_output=True, text=True).stdout.strip()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True).stdout.strip()
    return [
        "commit %s%s, release build" % (commit or "unknown", " and changes that are not committed" if changed else ""),
        "%d cores, %s, %.0f GB, Linux %s, Python %s" % (
            os.cpu_count(), models[0] if models else platform.machine(), memory_gb, platform.release(),
            platform.python_version()),
        "data on %s; load average %.1f at the start" % (filesystem or "an unknown file system", os.getloadavg()[0]),
    ]
