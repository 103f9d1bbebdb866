"""A real Slurm on this one machine, for tests: controller, node daemon and munge, with ports, keys and state of their own.

Nothing of the machine's own configuration is read or changed; `Slurm.start` says why it cannot begin.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
CONF = """
ClusterName=vdd
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=1
MinJobAge=600
MaxArraySize=100
ReturnToService=2
SlurmdTimeout=60
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Missing(Exception):
    """Slurm cannot be started here; the message says why."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Slurm:
    """One cluster of one node in `folder`; `environment` makes Slurm's commands speak to it."""

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 4000):
        self.folder, self.cpus, self.memory = folder, cpus, memory
        self.host, self.processes = socket.gethostname().split(".")[0], []
        # Commands find this cluster by wrappers in PATH: inside of jobs, executors remove all variables of Slurm.
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        }  # fmt: skip

    def start(self) -> "Slurm":
        """Munge, controller and node; raises Missing where a program is absent or does not come up."""
        if absent := [name for name in PROGRAMS if not (shutil.which(name) or Path("/usr/sbin", name).exists())]:
            raise Missing(f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)")
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        user = pwd.getpwuid(os.getuid()).pw_name
        text = CONF.format(
            host=self.host, user=user, folder=self.folder, ports=free_ports(2), cpus=self.cpus, memory=self.memory
        )
        (self.folder / "slurm.conf").write_text(text)
        self._wrap("srun", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        places = [f"--{name}={self.folder}/munge.{end}" for name, end in files.items()]
        self._begin("munged", "--foreground", "--force", "--num-threads=2", *places)
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._begin("slurmctld", "-D", "-c")
        self._begin("slurmd", "-D", "-N", self.host)
        self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"), "the node")
        return self

    def _wrap(self, *programs: str) -> None:
        (self.folder / "bin").mkdir()
        for name in programs:
            path = self.folder / "bin" / name
            path.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            path.chmod(0o755)

    def _begin(self, program: str, *options: str) -> None:
        log = (self.folder / f"{program}.out").open("w")
        path = shutil.which(program) or f"/usr/sbin/{program}"
        self.processes.append(
            subprocess.Popen([path, *options], env=self.environment, stdout=log, stderr=log, start_new_session=True)
        )

    def _wait(self, ready, what: str, seconds: float = 40) -> None:
        until = time.monotonic() + seconds
        while not ready():
            ended = [one for one in self.processes if one.poll() is not None]
            if ended or time.monotonic() > until:
                said = "\n".join(path.read_text()[-600:] for path in sorted(self.folder.glob("*.out")))
                self.stop()
                raise Missing(f"{what} does not come up: {said}")
            time.sleep(0.2)

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints; '' where it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def stop(self) -> None:
        """End jobs and daemons."""
        self.run("scancel", "--full", "--user", pwd.getpwuid(os.getuid()).pw_name)
        for process in reversed(self.processes):
            with_group = process.pid
            try:
                os.killpg(with_group, signal.SIGTERM)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                process.kill()
