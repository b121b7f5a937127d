"""What py-rattler takes for the document of `benches/subdir.rs`, as information beside the gate's own figures.

    cargo bench --bench subdir -- 700000 keep DIRECTORY
    python benches/subdir.py DIRECTORY/repodata.json

py-rattler makes shards and `.zst` of package archives only (`rattler.index.index_fs`), not of a document, so what can be compared is the
reading: `RepoData` keeps all records, `SparseRepoData` keeps where they are.
"""

import resource
import subprocess
import sys


def sparse(path):
    from rattler import Channel
    from rattler.repo_data import SparseRepoData

    data = SparseRepoData(Channel("conda-forge"), "linux-64", path)
    return data.record_count(), data.package_names()


def whole(path):
    from rattler import RepoData

    return RepoData.from_path(path)


if len(sys.argv) == 3:
    {"whole": whole, "sparse": sparse}[sys.argv[2]](sys.argv[1])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds, mib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024
    print(f"py-rattler, {sys.argv[2]}: {seconds:.2f} s of CPU, {mib} MiB of memory at the peak")
else:
    for reading in ["whole", "sparse"]:
        subprocess.run([sys.executable, __file__, sys.argv[1], reading], check=True)
