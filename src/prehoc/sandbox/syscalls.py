"""System calls by number, as the kernel's headers give them, for the two machines that are known.

Generated once from asm/unistd_64.h and asm-generic/unistd.h; numbers never change once given. A name
that is missing for a machine is a call which that machine does not have.
"""

from __future__ import annotations

# What a Python program of one thread needs: it reads, computes, sleeps, asks for the time, and ends.
_ALLOWED = """
read write readv writev pread64 pwrite64 close close_range lseek stat lstat fstat newfstatat statx
access faccessat faccessat2 readlink readlinkat getcwd chdir fchdir getdents64 mmap mprotect munmap
mremap brk madvise rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack dup dup2 dup3 pipe pipe2 poll
ppoll select pselect6 nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times
getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid
uname sysinfo getrusage getrlimit setrlimit getrandom futex set_robust_list get_robust_list
set_tid_address rseq sched_yield sched_getaffinity getcpu alarm setitimer getitimer pause exit
exit_group restart_syscall fsync fdatasync umask membarrier
"""
# What changes names or contents of files: allowed only where all it can reach is its scratch folder.
_WRITING = """
mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chmod fchmod
fchmodat truncate ftruncate utimensat flock creat
"""
# Allowed by their arguments alone, in filters.py: open, openat, fcntl, ioctl, prlimit64, clone3.

_X86_64 = """
read=0 write=1 readv=19 writev=20 pread64=17 pwrite64=18 close=3 close_range=436 lseek=8 stat=4 lstat=6
fstat=5 newfstatat=262 statx=332 access=21 faccessat=269 faccessat2=439 readlink=89 readlinkat=267
getcwd=79 chdir=80 fchdir=81 getdents64=217 mmap=9 mprotect=10 munmap=11 mremap=25 brk=12 madvise=28
rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 sigaltstack=131 dup=32 dup2=33 dup3=292 pipe=22
pipe2=293 poll=7 ppoll=271 select=23 pselect6=270 nanosleep=35 clock_nanosleep=230 clock_gettime=228
clock_getres=229 gettimeofday=96 time=201 times=100 getpid=39 gettid=186 getppid=110 getuid=102
geteuid=107 getgid=104 getegid=108 getresuid=118 getresgid=120 getgroups=115 getpgrp=111 getpgid=121
getsid=124 uname=63 sysinfo=99 getrusage=98 getrlimit=97 setrlimit=160 getrandom=318 futex=202
set_robust_list=273 get_robust_list=274 set_tid_address=218 rseq=334 sched_yield=24
sched_getaffinity=204 getcpu=309 alarm=37 setitimer=38 getitimer=36 pause=34 exit=60 exit_group=231
restart_syscall=219 fsync=74 fdatasync=75 umask=95 membarrier=324 mkdir=83 mkdirat=258 rmdir=84
unlink=87 unlinkat=263 rename=82 renameat=264 renameat2=316 link=86 linkat=265 symlink=88 symlinkat=266
chmod=90 fchmod=91 fchmodat=268 truncate=76 ftruncate=77 utimensat=280 flock=73 creat=85 open=2
openat=257 fcntl=72 ioctl=16 prlimit64=302 clone3=435
"""
_AARCH64 = """
read=63 write=64 readv=65 writev=66 pread64=67 pwrite64=68 close=57 close_range=436 lseek=62 fstat=80
newfstatat=79 statx=291 faccessat=48 faccessat2=439 readlinkat=78 getcwd=17 chdir=49 fchdir=50
getdents64=61 mmap=222 mprotect=226 munmap=215 mremap=216 brk=214 madvise=233 rt_sigaction=134
rt_sigprocmask=135 rt_sigreturn=139 sigaltstack=132 dup=23 dup3=24 pipe2=59 ppoll=73 pselect6=72
nanosleep=101 clock_nanosleep=115 clock_gettime=113 clock_getres=114 gettimeofday=169 times=153
getpid=172 gettid=178 getppid=173 getuid=174 geteuid=175 getgid=176 getegid=177 getresuid=148
getresgid=150 getgroups=158 getpgid=155 getsid=156 uname=160 sysinfo=179 getrusage=165 getrlimit=163
setrlimit=164 getrandom=278 futex=98 set_robust_list=99 get_robust_list=100 set_tid_address=96 rseq=293
sched_yield=124 sched_getaffinity=123 getcpu=168 setitimer=103 getitimer=102 exit=93 exit_group=94
restart_syscall=128 fsync=82 fdatasync=83 umask=166 membarrier=283 mkdirat=34 unlinkat=35 renameat=38
renameat2=276 linkat=37 symlinkat=36 fchmod=52 fchmodat=53 truncate=45 ftruncate=46 utimensat=88
flock=32 openat=56 fcntl=25 ioctl=29 prlimit64=261 clone3=435
"""


ALLOWED = _ALLOWED.split()
WRITING = _WRITING.split()


def _table(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (pair.split("=") for pair in text.split())}


NUMBERS: dict[str, dict[str, int]] = {"x86_64": _table(_X86_64), "aarch64": _table(_AARCH64)}
