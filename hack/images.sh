#!/usr/bin/env bash
# Builds the one image of operator, agent, guard and hooks from this checkout, and pushes it.
#
#   IMAGE=registry.example.com/team/loadline:0.1.0 make images push
#
# docker, podman or buildah does the work, whichever is found first; BUILDER names another one of
# these. BUILD_OPTIONS go to its `build`, as `--build-arg PIP_INDEX_URL=…` where PyPI is mirrored.
# The builder gets the wheel, the pinned requirements and the Containerfile, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 2
}

builder() {
  local name
  for name in ${BUILDER:-docker podman buildah}; do
    if type -P "$name" >/dev/null; then
      echo "$name"
      return
    fi
  done
  fail "no ${BUILDER:-docker, podman or buildah} on PATH" "install one of them, or name it: make images BUILDER=/path/to/podman"
}

build() {
  local context options
  context=$(mktemp --directory)
  trap 'rm -rf "$context"' RETURN
  read -ra options <<<"${BUILD_OPTIONS-}"
  mkdir "$context/requirements"
  cp images/loadline.Containerfile "$context/Containerfile"
  cp requirements/operator.txt requirements/agent.txt "$context/requirements/"
  python -m hatchling build --target wheel --directory "$context/dist" >/dev/null
  "$builder" build "${options[@]}" --file "$context/Containerfile" --tag "$image" "$context"
  echo "built $image"
}

push() {
  [[ $image == */* ]] ||
    fail "IMAGE is $image, which names no registry" "IMAGE=registry.example.com/team/$image make images push"
  "$builder" push "$image"
  echo "pushed $image: helm install … --set image.repository=${image%:*},image.tag=${image##*:}"
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image=${IMAGE:-loadline:$version}
[[ ${image##*/} == *:* ]] || image=$image:$version
builder=$(builder)

case ${1-} in
  build) build ;;
  push) push ;;
  *) fail "unknown step: ${1-none}" "hack/images.sh build, or hack/images.sh push" ;;
esac
