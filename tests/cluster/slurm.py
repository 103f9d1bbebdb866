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
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
# After `cred_expire` seconds (120 by default) the job of a node that died begins again.
CONF = """
ClusterName=vdd
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
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
SlurmdTimeout={patience}
KillWait=5
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory} State=UNKNOWN"
)


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
    """One cluster in `folder`, of one node or several that are all this machine; `environment` makes Slurm's commands speak to
    it. A node that does not answer for `patience` seconds is down."""

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 4000, nodes: int = 1, patience: int = 60):
        self.folder, self.cpus, self.memory, self.patience = folder, cpus, memory, patience
        self.host, self.processes = socket.gethostname().split(".")[0], []
        self.daemons: dict[str, subprocess.Popen] = {}  # of nodes, which are among the processes too
        self.nodes = [self.host] if nodes == 1 else [f"{self.host}-{number}" for number in range(nodes)]
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
        ports, size = free_ports(1 + len(self.nodes)), {"host": self.host, "cpus": self.cpus, "memory": self.memory}
        nodes = "\n".join(NODE.format(name=n, port=p, **size) for n, p in zip(self.nodes, ports[1:], strict=True))
        text = CONF.format(
            host=self.host, user=user, folder=self.folder, ports=ports, nodes=nodes, patience=self.patience
        )
        (self.folder / "slurm.conf").write_text(text)
        self._wrap("srun", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        places = [f"--{name}={self.folder}/munge.{end}" for name, end in files.items()]
        self._begin("munged", "--foreground", "--force", "--num-threads=2", *places)
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._begin("slurmctld", "-D", "-c")
        for node in self.nodes:
            (self.folder / "spool" / node).mkdir()
            self.daemons[node] = self._begin("slurmd", "-D", "-N", node)
        self._wait(lambda: self.run("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(self.nodes), "a node")
        return self

    def kill(self, node: str) -> None:
        """End a node's daemon and every process of the jobs there at once, as a power cut does."""
        daemon = self.daemons.pop(node)
        for job in self.run("squeue", "-h", "-w", node, "-o", "%A").split():
            for one in psutil.process_iter():
                with suppress(psutil.Error):
                    if one.environ().get("SLURM_JOB_ID") == job or f"[{job}." in " ".join(one.cmdline()):
                        one.kill()
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
        self.processes.remove(daemon)

    def _wrap(self, *programs: str) -> None:
        (self.folder / "bin").mkdir()
        for name in programs:
            path = self.folder / "bin" / name
            path.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            path.chmod(0o755)

    def _begin(self, program: str, *options: str) -> subprocess.Popen:
        log = (self.folder / f"{program}{len(self.daemons) or ''}.out").open("w")  # a log of its own for every node
        path = shutil.which(program) or f"/usr/sbin/{program}"
        self.processes.append(
            subprocess.Popen([path, *options], env=self.environment, stdout=log, stderr=log, start_new_session=True)
        )
        return self.processes[-1]

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
