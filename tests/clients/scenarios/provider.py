"""A person signs in with the organization's own provider, at another site, and comes back to the code."""


def run(browser, asked):
    browser.open(asked["page"])
    assert browser.heading() == "Sign in", browser.heading()
    browser.follow_out("Sign in with " + asked["title"])
    assert browser.at().startswith(asked["provider"]), browser.at()
    browser.fill("login", asked["user"])
    browser.fill("password", "any")
    browser.submit()
    # What the provider asks its own people.
    browser.submit()
    assert browser.at().startswith(asked["origin"]), browser.at()
    browser.check()
    assert browser.heading() == "Connect this device?", browser.heading() + browser.text()
    browser.press("Approve")
    assert browser.heading() == "The device is connected", browser.heading()
