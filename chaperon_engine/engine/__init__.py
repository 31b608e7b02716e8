"""The engine process of one run: `python -m chaperon_engine.engine RUN_DIR`."""
