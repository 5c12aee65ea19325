"""``python -m emo_runtime "texto"``: the emotion of one sentence."""

from emo_runtime.cli.runtime import main

if __name__ == "__main__":
    main(prog_name="emo-runtime")
