"""Small workloads for tests of emo_bench."""

from emo_bench.workload import Workload

TEXT_ONLY = Workload(count=8, with_audio=False)
