// Looks at every page of the dashboard as people do: light and dark, wide and narrow, by keyboard, with
// and without script. Called by .ci/browser, which starts the brokers.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [work, tidegate, shots] = process.argv.slice(2);
const require = createRequire(`${work}/npm/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const address = (name) => readFileSync(`${work}/${name}.address`, "utf8").trim();
mkdirSync(shots, { recursive: true });

const wrong = [];
const held = (holds, what) => holds || wrong.push(what);

// === Data ===

const cli = (broker, ...words) => {
  // Requests that are refused are a part of what pages show.
  const run = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 << 20 };
  try {
    return execFileSync(tidegate, ["--broker", broker, ...words], run);
  } catch (error) {
    if (error.status === 3) return error.stdout;
    throw new Error(`tidegate ${words.join(" ")}: ${error.stderr}`);
  }
};

function topology(pods) {
  const text = [`[[switch]]\nname = "core"\n`];
  for (let pod = 0; pod < pods; pod += 1) {
    text.push(`[[switch]]\nname = "tor-${pod}"\n[[link]]\nname = "tor-${pod}--core"
from = "tor-${pod}"\nto = "core"\ncapacity = "100Gbit"\n`);
    for (let host = 0; host < 24; host += 1) {
      text.push(`[[host]]\nname = "c${pod}-${host}"
nic = [{ name = "eth0", switch = "tor-${pod}", capacity = "25Gbit" }]\n`);
    }
  }
  for (const name of ["east", "west"]) {
    text.push(`[[storage]]\nname = "swift-${name}"\nswitch = "core"\nread = "80Gbit"\nwrite = "40Gbit"\n`);
  }
  return text.join("");
}

// The same requests each time.
function requests(pods, from, count) {
  const text = [];
  for (let index = from; index < from + count; index += 1) {
    const pick = (most, salt) => ((index * 2654435761 + salt * 40503) >>> 7) % most;
    text.push(`[[reserve]]\nfrom = ["storage/swift-${pick(3, 1) ? "east" : "west"}"]
to = "hosts/c${Math.min(pick(pods, 2), pick(9, 3))}-${pick(24, 4)}"
rate = "${[1, 2, 2, 4, 6, 9][pick(6, 5)]}Gbit"
start = "+${pick(1500, 6)}m"\nfor = "${20 + pick(300, 7)}m"
as = "person-${pick(5, 8)}"\n`);
  }
  return text.join("");
}

function fill(broker, pods, count) {
  const file = `${work}/declared.toml`;
  writeFileSync(file, topology(pods));
  cli(broker, "apply", "topology", file);
  for (let from = 0; from < count; from += 100) {
    writeFileSync(file, requests(pods, from, 100));
    cli(broker, "reserve", "--file", file);
  }
  cli(broker, "maintenance", "add", "links/tor-0--core", "--start", "+30h", "--for", "2h", "--accept-losses");
  cli(broker, "drain", "hosts/c0-1");
}

const brokers = { empty: address("empty"), some: address("some"), many: address("many") };
fill(brokers.some, 2, 200);
fill(brokers.many, 100, 1000);

// === Pages ===

const always = ["/", "/projects", "/refusals", "/forecast", "/reservations", "/events", "/projects/default"];

function pages(name) {
  if (name === "empty") return always;
  const [first] = cli(brokers[name], "ls", "-o", "jsonl").split("\n");
  const id = JSON.parse(first).name.split("/").pop();
  const lane = "/lanes/links/tor-0--core/reverse";
  return [...always, lane, `${lane}?from=now&to=%2B72h`, `/reservations/${id}`, "/?from=tomorrow"];
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });

// A page that tells of everything that goes wrong in it.
async function opened(context, base, path) {
  const page = await context.newPage();
  const expected = path.includes("tomorrow");
  page.on("console", (said) => {
    if (said.type() === "error" && !(expected && said.text().includes("400"))) {
      wrong.push(`${path} says ${said.text()}`);
    }
  });
  page.on("pageerror", (error) => wrong.push(`${path} fails: ${error}`));
  page.on("request", (request) => held(request.url().startsWith(base), `${path} asks ${request.url()}`));
  await page.goto(base + path, { waitUntil: "domcontentloaded" });
  await page.locator("h1").waitFor({ state: "visible" });
  return page;
}

const slug = (path) => path.replaceAll(/[^a-z0-9]+/gi, "-").replaceAll(/^-|-$/g, "") || "first";

async function seen(name, scheme, width) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  for (const path of pages(name)) {
    const page = await opened(context, brokers[name], path);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    held(over <= 0, `${path} of ${name} is ${over} px too wide at ${width} px`);
    if (width !== 360) {
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
      for (const it of found.violations.filter((it) => ["serious", "critical"].includes(it.impact))) {
        wrong.push(`${path} of ${name} in ${scheme}: ${it.id}: ${it.help}: ${it.nodes[0].html}`);
      }
    }
    await page.screenshot({ path: `${shots}/${name}-${slug(path)}-${scheme}-${width}.png` });
    await page.close();
  }
  await context.close();
}

// Without script every page has its answer, and the numbers or why there are none.
async function plain(name) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  for (const path of pages(name).filter((path) => !path.includes("tomorrow"))) {
    const page = await opened(context, brokers[name], path);
    const answer = await page.locator(".answer").innerText();
    held(20 < answer.length, `${path} of ${name} has no answer without script`);
    const shown = await page.locator("table, [role=table], .empty").count();
    held(0 < shown, `${path} of ${name} shows nothing without script`);
    const json = await page.locator(".foot a", { hasText: "JSON" }).getAttribute("href");
    const answered = await context.request.get(brokers[name] + json);
    held(answered.ok() && typeof (await answered.json()) === "object", `${json} is no JSON`);
    await page.close();
  }
  await context.close();
}

// The way of somebody without a mouse.
async function keyboard() {
  const context = await browser.newContext();
  const page = await opened(context, brokers.some, "/");
  const reached = [];
  for (let step = 0; step < 8; step += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement?.getAttribute("href")));
  }
  const links = ["#main", "/", "/projects", "/refusals", "/forecast", "/reservations", "/events"];
  for (const link of links) held(reached.includes(link), `Tab does not reach ${link}: ${reached}`);
  const lanes = page.locator(".lane a");
  await lanes.first().focus();
  await page.keyboard.press("ArrowDown");
  const second = await lanes.nth(1).evaluate((link) => link === document.activeElement);
  held(second, "the arrow does not lead to the next lane");
  await page.keyboard.press("ArrowRight");
  const card = page.locator(".card");
  held((await card.count()) === 1 && (await card.innerText()).includes("UTC"), "no card for the cell");
  await page.keyboard.press("Escape");
  held((await card.count()) === 0, "the card does not go");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/lanes/**");
  held((await page.locator("h1").innerText()) === "What holds this lane?", "Enter does not open the lane");
  await context.close();
}

// What is granted while somebody looks appears.
async function live() {
  const context = await browser.newContext();
  const page = await opened(context, brokers.some, "/events");
  await page.getByText("Live: new ones appear on top.").waitFor();
  const asked = ["--from", "storage/swift-west", "--to", "hosts/c1-3", "--rate", "1Mbit", "--start", "+40h", "--for", "1h"];
  const made = JSON.parse(cli(brokers.some, "reserve", ...asked, "-o", "json"));
  const id = made.name.split("/").pop();
  await page.locator(`#live li.fresh a[href="/reservations/${id}"]`).waitFor({ timeout: 30_000 });
  await context.close();
}

// How long a page takes with 5,000 lanes; a figure, not a verdict.
async function timed() {
  const context = await browser.newContext();
  for (const path of ["/", "/forecast", "/lanes/links/tor-0--core/reverse"]) {
    const page = await opened(context, brokers.many, path);
    const [usable, size] = await page.evaluate(() => {
      const [it] = performance.getEntriesByType("navigation");
      return [Math.round(it.domContentLoadedEventEnd), it.decodedBodySize];
    });
    held(size < 1_500_000, `${path} has ${size} bytes`);
    console.log(`5,000 lanes: ${path} is usable after ${usable} ms, ${Math.round(size / 1000)} kB`);
    await page.close();
  }
  await context.close();
}

await timed();
for (const name of Object.keys(brokers)) {
  await seen(name, "light", 1280);
  await seen(name, "dark", 1280);
  await seen(name, "light", 360);
  await plain(name);
}
await keyboard();
await live();
await browser.close();

if (wrong.length) {
  console.log([...new Set(wrong)].join("\n"));
  process.exit(1);
}
console.log(`the browser is content; what it saw is in ${shots}`);
