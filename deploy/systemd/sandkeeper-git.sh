#!/bin/sh
# Bring a checkout to the newest commit of a branch, if that commit is valid; else leave the checkout as it is.
# REPOSITORY: what to fetch from. BRANCH: which branch. CHECKOUT: the checkout, made at the first run.
# FOLDER: where in the repository the manifests are.
set -eu
: "${REPOSITORY:?say where to fetch from}" "${BRANCH:=main}" "${CHECKOUT:=${STATE_DIRECTORY:?}/checkout}" "${FOLDER:=.}"
export GIT_TERMINAL_PROMPT=0 # a password is asked of nobody

newest=refs/remotes/source/$BRANCH
[ -d "$CHECKOUT/.git" ] || git init --quiet --initial-branch="$BRANCH" -- "$CHECKOUT"
git -C "$CHECKOUT" fetch --quiet --no-tags -- "$REPOSITORY" "+refs/heads/$BRANCH:$newest"

trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
git -C "$CHECKOUT" archive --output="$trial/commit.tar" "$newest"
mkdir "$trial/commit"
tar -x -f "$trial/commit.tar" -C "$trial/commit"
sandkeeper validate "$trial/commit/$FOLDER"

# Forward only: a branch that was rewritten waits for a person.
git -C "$CHECKOUT" merge --quiet --ff-only "$newest"
