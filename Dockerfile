# Runs openstylegan, generate for one. docs/docker.md says how; the image can be built for a CPU or, with
# --build-arg BASE=pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime --build-arg TORCH_INDEX=, for CUDA.
ARG BASE=python:3.11.13-slim-bookworm
FROM ${BASE}

# Where torch without CUDA comes from; empty where the base image brings its own torch.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 OPENSTYLEGAN_CACHE_DIR=/cache

WORKDIR /opt/openstylegan
COPY pyproject.toml constraints-cpu.txt README.md LICENSE NOTICE ./
COPY openstylegan ./openstylegan
RUN grep -v -E '^(torch|triton)==' constraints-cpu.txt > constraints.txt \
 && if [ -n "$TORCH_INDEX" ]; then python -m pip install --no-cache-dir --constraint constraints-cpu.txt --index-url "$TORCH_INDEX" torch; fi \
 && python -m pip install --no-cache-dir --constraint constraints.txt ".[features]" \
 && useradd --create-home --uid 10001 user \
 && mkdir -p /cache /work \
 && chown user /cache /work

USER 10001
WORKDIR /work
ENTRYPOINT ["openstylegan"]
CMD ["generate", "--help"]
