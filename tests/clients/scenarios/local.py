"""A program on the person's own computer asks in the browser and waits for the answer at a port of its own."""


def run(browser, asked):
    browser.open(asked["page"])
    assert browser.heading() == "Sign in", browser.heading()
    browser.type("User name", asked["user"])
    browser.type("Password", asked["password"])
    browser.press("Sign in")
    assert browser.heading() == "Let this program use your account?", browser.heading()
    # The browser goes by way of the program and comes back.
    browser.press("Approve")
    assert browser.at().startswith(asked["origin"] + "/app/"), browser.at()
    return browser.heading()
