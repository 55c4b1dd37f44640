#!/usr/bin/env node
console.log("rendered")
