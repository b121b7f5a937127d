"""A real browser, headless Chromium, for the scenarios of `scenarios/`: `browser.py SCENARIO`, with what it has to know as JSON on standard
input. Ends with 0 if the scenario went as written, and prints what it returned as JSON.

Every page a scenario comes to is also looked at for what every page here owes a person (`Browser.check`). With SCREENSHOTS in the environment,
each is kept as a picture in that directory.
"""

import importlib
import json
import os
import pathlib
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 30


class Browser:
    def __init__(self, spki, profile):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=900,900",
            f"--user-data-dir={profile}",
            # The one key of the tests' servers is trusted, for a browser reads no file of authorities.
            f"--ignore-certificate-errors-spki-list={spki}",
        ):
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(PATIENCE)
        self.pictures = 0

    def open(self, url):
        self.driver.get(url)
        self.check()

    def field(self, label):
        """The field that a person finds by its label."""
        return self._named("input, select", label)

    def button(self, text):
        return self._named("button, input[type=submit]", text)

    def link(self, text):
        return self._named("a[href]", text)

    def type(self, label, text):
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def press(self, text):
        self._leave(self.button(text).click)

    def follow(self, text):
        self._leave(self.link(text).click)

    def keys(self, *keys):
        """Keys as pressed wherever the focus is."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def enter(self):
        self._leave(lambda: self.keys(Keys.ENTER))

    def tab_to(self, name):
        """Goes on with the tabulator until the focus is on what bears this name; fails after a round of the page."""
        seen = []
        for _ in range(20):
            focused = self.driver.switch_to.active_element
            seen.append(focused.accessible_name)
            if focused.accessible_name == name:
                assert self._focus_shows(focused), f"the focus on {name!r} cannot be seen"
                return
            self.keys(Keys.TAB)
        raise AssertionError(f"{name!r} is not reached by the keyboard, only {seen}")

    def focused(self):
        return self.driver.switch_to.active_element.accessible_name

    def reload(self):
        self.driver.refresh()
        self.check()

    def back(self):
        self.driver.back()
        self.check()

    def forget(self):
        """As if all cookies had run out."""
        self.driver.delete_all_cookies()

    def narrow(self):
        """As on a telephone, for a look."""
        size = self.driver.get_window_size()
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        )
        self.check()
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        assert self.driver.get_window_size() == size

    def another_window(self, url):
        """Opens a page in a window beside this one; the one before stays in front."""
        first = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        self.open(url)
        second = self.driver.current_window_handle
        self.driver.switch_to.window(first)
        return second

    def to_window(self, window):
        self.driver.switch_to.window(window)

    def press_twice(self, text):
        """Two clicks as fast as a mouse has them."""
        button = self.button(text)
        self._leave(lambda: webdriver.ActionChains(self.driver).double_click(button).perform())

    def title(self):
        return self.driver.title

    def description(self, element):
        """What assistive technology reads beside an element's name."""
        return self.driver.execute_script(
            "return (arguments[0].getAttribute('aria-describedby') || '').split(' ')"
            ".map(id => document.getElementById(id)?.textContent || '').join(' ')",
            element,
        )

    def follow_out(self, text):
        """Follows a link to somebody else's page, which is not looked at."""
        self._leave(self.link(text).click, check=False)

    def fill(self, name, text):
        """Fills in a field of somebody else's page."""
        self.driver.find_element(By.NAME, name).send_keys(text)

    def submit(self):
        """Presses the button of somebody else's page."""
        self._leave(self.driver.find_element(By.CSS_SELECTOR, "button[type=submit]").click, check=False)

    def heading(self):
        (heading,) = self.driver.find_elements(By.TAG_NAME, "h1")
        return heading.text

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def alert(self):
        """What the page says is wrong."""
        (alert,) = self.driver.find_elements(By.CSS_SELECTOR, "[role=alert]")
        return alert.text

    def at(self):
        return self.driver.current_url

    def check(self):
        """What every page owes: a language, a title, one heading, names for all that can be used, readable colours, no sideways scrolling on
        a narrow screen, and nothing fetched from elsewhere or run."""
        self._picture()
        faults = self.driver.execute_script(CHECKS)
        for element in self.driver.find_elements(By.CSS_SELECTOR, "input:not([type=hidden]), select, button, a[href]"):
            if not element.accessible_name:
                faults.append(f"has no name: {element.get_attribute('outerHTML')}")
        assert not faults, f"{self.at()}: {faults}"

    def _named(self, selector, name):
        found = [e for e in self.driver.find_elements(By.CSS_SELECTOR, selector) if e.accessible_name == name]
        names = [e.accessible_name for e in self.driver.find_elements(By.CSS_SELECTOR, selector)]
        assert len(found) == 1, f"{len(found)} of {name!r} at {self.at()}, there are {names}:\n{self.text()}"
        return found[0]

    def _leave(self, action, check=True):
        """Does what leads to another page and waits until that is there."""
        before = self.driver.find_element(By.TAG_NAME, "html").id
        action()

        def arrived(driver):
            try:
                new = driver.find_element(By.TAG_NAME, "html").id != before
            except Exception:
                return False
            return new and driver.execute_script("return document.readyState") == "complete"

        WebDriverWait(self.driver, PATIENCE, 0.02).until(arrived)
        if check:
            self.check()

    def _focus_shows(self, element):
        return self.driver.execute_script(
            "const s = getComputedStyle(arguments[0]);"
            "return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none'",
            element,
        )

    def _picture(self):
        if directory := os.environ.get("SCREENSHOTS"):
            self.pictures += 1
            name = f"{sys.argv[1]}-{self.pictures:02}.png"
            self.driver.save_screenshot(str(pathlib.Path(directory, name)))


# Runs in the page; a list of faults. Contrast as WCAG 2 defines it: 4.5 to 1 for text.
CHECKS = """
const faults = [];
if (!document.documentElement.lang) faults.push('no language');
if (!document.title.trim()) faults.push('no title');
if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
if (document.querySelectorAll('main').length !== 1) faults.push('not one main');
if (document.scripts.length) faults.push('a script');
for (const entry of performance.getEntriesByType('resource'))
  if (!entry.name.startsWith(location.origin)) faults.push('fetched ' + entry.name);
if (document.documentElement.scrollWidth > innerWidth) faults.push('scrolls sideways');
const channels = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [R, G, B] = [r, g, b].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * R + 0.7152 * G + 0.0722 * B;
};
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = channels(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
for (const element of document.body.querySelectorAll('*')) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility()) continue;
  const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(2)}: ${element.textContent.trim()}`);
}
return faults;
"""


def main():
    asked = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(asked["spki"], profile)
        try:
            scenario = importlib.import_module(f"scenarios.{sys.argv[1]}")
            print(json.dumps(scenario.run(browser, asked)))
        except BaseException:
            print(f"at {browser.at()}:\n{browser.text()}", file=sys.stderr)
            raise
        finally:
            browser.driver.quit()


if __name__ == "__main__":
    main()
