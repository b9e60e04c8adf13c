"""The documented ways to start a fleet, run as docs/fleet.md writes them: a line each to results/fleet/ways.jsonl.

    python benchmarks/fleet_ways.py ssh          sshd on three ports, each a machine with a lock and a cache of its own
    python benchmarks/fleet_ways.py slurm        munged, slurmctld and two slurmd, of Debian's slurm-wlm and munge
    python benchmarks/fleet_ways.py kubernetes   the manifest in the models of Kubernetes' client (pip install kubernetes)

The commands are taken from the page; only their study is a small one here. The machines are all this one, so that their
figures mean nothing. Run ssh and slurm as root, in a container of their own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnbench.runs.store import load_run

ROOT = Path(__file__).parents[1]
PAGE, MANIFEST = ROOT / "docs" / "fleet.md", ROOT / "docs" / "fleet.yaml"
LINES = ROOT / "results" / "fleet" / "ways.jsonl"
STUDY = "quick --quick --size 64x96"
PATH = f"{Path(sys.executable).parent}:/usr/sbin:{os.environ['PATH']}"

SSHD = """
ListenAddress 127.0.0.1
HostKey {0}/host
PidFile {0}/sshd.pid
AuthorizedKeysFile {0}/id.pub
Subsystem sftp /usr/lib/openssh/sftp-server
StrictModes no
UsePAM no
"""
MACHINE = """
Match LocalPort {port}
SetEnv ATTNBENCH_LOCK={home}/lock ATTNBENCH_CACHE={home}/cache PYTHONPATH={root}
ForceCommand cd {home}; export PATH={path}; exec $SSH_ORIGINAL_COMMAND
"""
HOST = """
Host {name}
HostName 127.0.0.1
Port {port}
IdentityFile {folder}/id
StrictHostKeyChecking no
UserKnownHostsFile {folder}/known
"""

SLURM = """
ClusterName=trial
SlurmctldHost=localhost
SlurmUser=root
SlurmctldPidFile={0}/slurmctld.pid
SlurmdPidFile={0}/slurmd.%n.pid
SlurmdSpoolDir={0}/%n
StateSaveLocation={0}
SlurmctldLogFile={0}/slurmctld.log
SlurmdLogFile={0}/%n.log
AuthInfo=socket={0}/munge.sock
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17001-17002] CPUs={1}
PartitionName=main Nodes=ALL Default=YES
"""


def block(holding: str) -> str:
    """The block of the page's commands that holds this, with a small study."""
    found = next(one for one in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if holding in one)
    return found.replace("sweep report", f"sweep {STUDY}")


def run(commands: str, folder: Path, *, end: bool = False, **env: str) -> str:
    """What commands in a shell print. Where they fail this ends; ``end`` ends what they leave running."""
    known = {**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT), **env}
    log = folder / f"commands-{time.monotonic_ns()}"
    with log.open("w") as out:
        shell = subprocess.Popen(
            ["/bin/bash", "-ec", commands], cwd=folder, env=known, stdout=out, stderr=out, start_new_session=True
        )
        code = shell.wait(300)
    if end:
        os.killpg(shell.pid, signal.SIGTERM)
    if code:
        raise SystemExit(f"{commands}\nended with {code}:\n{log.read_text()[-3000:]}")
    return log.read_text()


def by_ssh(folder: Path) -> dict[str, Any]:
    """Three machines by ssh with TLS, and what they measured together."""
    run("ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f id; mkdir -p /run/sshd", folder)
    config, server, hosts = SSHD.format(folder), "", ""
    for port, name in enumerate("abc", start=22001):
        home = folder / name
        home.mkdir()
        server = f"{server}\nPort {port}"
        config += MACHINE.format(port=port, home=home, root=ROOT, path=PATH)
        hosts += HOST.format(name=name, port=port, folder=folder)
    (folder / "sshd_config").write_text(server + config)
    (folder / "ssh_config").write_text(hosts)
    for tool in ("ssh", "scp"):
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / tool).write_text(f'#!/bin/sh\nexec /usr/bin/{tool} -F {folder}/ssh_config "$@"\n')
        (folder / "bin" / tool).chmod(0o755)
    run(f"/usr/sbin/sshd -f {folder}/sshd_config", folder)
    try:
        run(block("openssl"), folder)
        run(block("ssh -n"), folder, end=True, PATH=f"{folder}/bin:{PATH}", ATTNBENCH_CACHE=str(folder / "cache"))
    finally:
        os.kill(int((folder / "sshd.pid").read_text()), signal.SIGTERM)
    (found,) = (folder / "results").iterdir()
    machines = sum(path.stat().st_size > 0 for path in found.glob("*/run.jsonl"))
    version = subprocess.run(["/usr/bin/ssh", "-V"], capture_output=True, text=True, check=True).stderr.partition(",")[0]
    return {"way": "ssh, TLS, split", "with": version, "machines": machines, **measured(found)}


def by_slurm(folder: Path) -> dict[str, Any]:
    """An array of jobs on two nodes, and their parts merged."""
    (folder / "slurm.conf").write_text(SLURM.format(folder, os.cpu_count()))
    munge = " ".join(f"--{what}-file={folder}/munge.{what}" for what in ("key", "log", "pid", "seed"))
    folder.chmod(0o755)
    run(
        f"umask 077; head -c 128 /dev/urandom > munge.key; umask 022; munged --force --socket={folder}/munge.sock {munge}",
        folder,
    )
    env = {"SLURM_CONF": str(folder / "slurm.conf")}
    try:
        run("slurmctld; slurmd -N n1; slurmd -N n2; sleep 3", folder, **env)
        version = run("sinfo --version", folder, **env).strip()
        run(block("sbatch"), folder, **env)
    finally:
        for path in (*folder.glob("slurm*.pid"), folder / "munge.pid"):
            with suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGTERM)
    return {"way": "SLURM, shards", "with": version, "machines": 2, **measured(folder / "results" / "whole")}


def measured(folder: Path) -> dict[str, Any]:
    """What a run came to."""
    records = load_run(folder).records
    return {"cases": len(records), "measured": sum(record.status == "ok" for record in records)}


def by_kubernetes(_: Path) -> dict[str, Any]:
    """The manifest, read by the client's models and written again: a field that they do not know would be gone."""
    import yaml  # noqa: PLC0415
    from kubernetes import client  # noqa: PLC0415

    models, kinds = client.ApiClient(), []
    for text in yaml.safe_load_all(MANIFEST.read_text()):
        group = "".join(part.capitalize() for part in text["apiVersion"].split("/")[:-1] if part != "apps")
        kind = f"{group}{text['apiVersion'].rpartition('/')[2].capitalize()}{text['kind']}"
        again = models.sanitize_for_serialization(models.deserialize(json.dumps(text), kind, "application/json"))
        if again != text:
            raise SystemExit(f"{MANIFEST}: {kind} reads as {json.dumps(again)}")
        kinds.append(text["kind"])
    return {"way": f"Kubernetes: {', '.join(kinds)}", "with": f"models of the client {client.__version__}"}


def main(way: str) -> None:
    """One of the words above."""
    with tempfile.TemporaryDirectory() as where:
        found = {"ssh": by_ssh, "slurm": by_slurm, "kubernetes": by_kubernetes}[way](Path(where))
    print(json.dumps(found))
    lines = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    kept = [line for line in lines if line["way"] != found["way"]]
    LINES.write_text("".join(json.dumps(line) + "\n" for line in [*kept, found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
