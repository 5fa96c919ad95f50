#!/bin/bash
# One shard of a folder of slides for each task of a SLURM array, all into one shared folder.
#
#   SLIDES=/data/slides OUT=/data/out sbatch docs/deploy/slurm-array.sh
#
# A task that fails, is preempted or runs out of time is given again (`sbatch --array=7 ...`): it goes
# on where it was. The last task to finish writes the tables; `her2 status "$OUT"` says how far it is.
#SBATCH --job-name=her2
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=INT@120
#SBATCH --output=her2-%A_%a.log
# Leave this out on nodes without a GPU:
#SBATCH --gpus-per-task=1
set -euo pipefail

: "${SLIDES:?the folder of slides, or a CSV manifest}"
: "${OUT:?the folder for the results, which every node sees}"
: "${SLURM_ARRAY_TASK_ID:?start this with sbatch}"
# The number of tasks above. Not SLURM_ARRAY_TASK_COUNT: that is 1 where one task is given again.
SHARDS="${SHARDS:-16}"
# For a container: RUN="apptainer run --nv --containall --bind /data her2-ihc.sif"
RUN="${RUN:-her2}"

# shellcheck disable=SC2086 # RUN may be several words
exec srun $RUN score "$SLIDES" --out "$OUT" \
  --shard "${SLURM_ARRAY_TASK_ID}/${SHARDS}" --device auto
